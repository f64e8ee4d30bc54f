//! All Linux: system calls, `/proc`, `sysctl`, netlink, and the clock.
//!
//! The only home of `unsafe`, of `libc` and of the clock. Nothing here decides anything; it asks the
//! kernel and hands the answer up, errors included.
//!
//! | what | asks |
//! |---|---|
//! | [`sock_diag`] | which sockets there are, over netlink; [`tuple_usage`] counts them, [`holders`] finds their processes |
//! | [`proc_net`] | counters and totals of the network namespace |
//! | [`sysctl`] | the settings and limits of this host |
//! | [`addresses`] | which addresses are local, and the routes to others |
//! | [`ruleset`] | rules of the packet filter, by what they can do |
//! | [`tcp_info`] | the state of one connection |
//! | [`usage`] | what this program itself uses; [`memory`], what it can still have |
//! | [`netns`], [`fd_table`] | a private network, a private descriptor table |
//! | [`sandbox`] | a program in namespaces of its own, which dies with us; why that is forbidden |
//! | [`links`], [`firewall`], [`tracked`], [`packet`] | changes to the network of such a sandbox |

pub mod addresses;
pub mod clock;
pub mod epoll;
pub mod fd_table;
pub mod firewall;
pub mod holders;
pub mod links;
pub mod listeners;
pub mod memory;
mod netlink;
pub mod netns;
pub mod packet;
pub mod priority;
pub mod proc_net;
pub mod ruleset;
pub mod sandbox;
pub mod sock_diag;
mod sock_filter;
pub mod socket;
pub mod sysctl;
pub mod tcp_info;
pub mod tcp_state;
pub mod terminal;
pub mod timer_slack;
pub mod tracked;
pub mod tuple_usage;
pub mod usage;
