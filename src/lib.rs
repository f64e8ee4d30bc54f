//! connstorm: a connection load generator for Linux that says when and why connections fail.
//!
//! This page is the map of the code. `ARCHITECTURE.md` follows one attempt, one failure and one sample
//! through it; `CONTRIBUTING.md` says how to add something; `docs/glossary.md` has these words for users.
//!
//! # The house
//!
//! A module imports from the floors below it, never from its own floor or from above. `tests/architecture`
//! holds the order, and keeps `unsafe` and `libc` in [`linux`], the clock in one file, and printing in [`cli`]
//! and [`report`].
//!
//! ```text
//!   cli                              commands and flags; prints
//!   lab                              a failure, reproduced and diagnosed
//!   doctor   find   watch            one target examined; the largest load found; other programs watched
//!   run                              a run with all that belongs to it
//!   engine   host     report         makes load; reads this host; writes formats
//!   result   server                  what a run came to; what is connected to
//!   plan     observe  diagnose  capacity     what is asked, seen, concluded, foreseen (pure)
//!   linux    protocol                system calls; bytes of HTTP, WebSocket and TLS
//!   model                            the words that all others use (pure)
//! ```
//!
//! - [`cli`]: One file for each subcommand, from its arguments to its exit code. No rule about ports, failures
//!   or protocols is here.
//! - [`lab`]: Each experiment is data: a namespace, a load, the finding that is intended, and what cures it.
//!   It runs in a throw-away network namespace, without root.
//! - [`doctor`] makes one careful connection to each address of a target and collects facts. [`find`] repeats
//!   a run with larger and smaller loads until the largest that passes is known.
//! - [`watch`] looks at programs that are not ours: ports by tuple, who holds them, when they will run out.
//! - [`run`] prepares a plan, starts the engine and a monitor thread beside it, and has the diagnosis made.
//!   `connstorm run`, `find` and `lab` start runs only here.
//! - [`engine`] turns the plan into attempts: pacer, stop rule, workers, connections, sessions. A worker is one
//!   thread with a descriptor table of its own, and shares nothing on the path of a connection.
//! - [`host`] reads this host: sockets, listeners, routes, names, settings. It decides nothing.
//! - [`report`] writes a result as text, JSON, HTML, JUnit, Markdown, OpenMetrics, HdrHistogram log or CSV, one file a format. It
//!   reads [`result`], never the other way round.
//! - [`result`] is the result of a run as data: its model, the verdict, thresholds, merging and comparing.
//!   Its JSON is only ever added to.
//! - [`server`] is what `connstorm serve` runs: targets that behave well, or badly in one chosen way. It is also
//!   the other end of most tests.
//! - [`plan`] reads scenario files and flags into one checked, immutable `Plan`. Mistakes are collected, and
//!   shown at their place in the file.
//! - [`observe`] samples the kernel within a budget of CPU and detects onsets. [`diagnose`] gets facts and
//!   gives findings, each with its evidence, certainty and remedies.
//! - [`capacity`] forecasts what a load does to a host: ports, TIME_WAIT, descriptors, memory, conntrack.
//!   It is the same arithmetic for `plan`, for the forecast before a run, and for remedies.
//! - [`linux`] holds all system calls, `/proc`, netlink and the clock, and the only `unsafe` code.
//! - [`protocol`] parses and writes HTTP/1.1, WebSocket, TLS records and message templates, for both roles,
//!   without I/O.
//! - [`model`] has the attempt and its outcome, addresses, ports and leases, and the statistics of a run.
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | active closer | the end that closes first (sends the first FIN); it alone gets TIME_WAIT |
//! | arrival | the moment at which an open loop plans an attempt |
//! | attempt | one try to have one connection, from its lease to its end; numbered from 0 by its ordinal |
//! | backlog | the length of the accept queue that listen() asked for; the kernel takes min(backlog, somaxconn) |
//! | cause | why an attempt failed, as the attempt itself saw it: refused, timeout, address not available |
//! | closed loop | a load of a fixed number of slots, each of which starts when its last attempt has ended |
//! | claim | what a rule of the diagnosis counted: failures explained, owner, moments, rivals; a finding is computed from it |
//! | coordinated omission | the error of leaving out, or of timing from their late start, the attempts that a slow target delays |
//! | ephemeral port | a source port that the kernel chooses, from `ip_local_port_range` |
//! | evidence | the numbers that a finding or an onset rests on |
//! | fact | something known about a run or a host, handed to the rules of the diagnosis |
//! | finding | a cause of what was seen, with whose fault it is, how certain it is, and what mends it |
//! | forecast | what the planner says before a run about that run |
//! | generator | connstorm itself, and the host it runs on; the other sides are the path and the target |
//! | handover | a worker's whole tally, given to the monitor once a window |
//! | lateness | the time from the moment at which an attempt was due to the moment at which it started |
//! | message lateness | the same for a message: from its due time, or the reply before it, to its sending |
//! | service lateness | the longest time that something at a connection can have waited until its worker came to it |
//! | lease | source address, source port and destination that are lent to one attempt |
//! | lifetime | how long a connection is meant to stay open |
//! | moment | a point of a run: seconds since its start, and the attempt where there is one |
//! | naive bind | bind() to an address and port 0 without `IP_BIND_ADDRESS_NO_PORT`: the port is chosen before the destination is known |
//! | onset | the moment at which a trouble begins, with its evidence |
//! | open loop | a load whose attempts are due at planned times, whether or not earlier ones have ended |
//! | outcome | how an attempt ended: ok, failed (stage, cause, side) or skipped |
//! | pacer | the part of the engine that says when the next attempt is due; it never looks at a clock |
//! | poisoned bucket | a port that bind() holds, and that connect() therefore skips for every program of the namespace |
//! | port policy | who chooses the source port: `kernel`, `explicit`, `naive-bind`, or the kernel within a range |
//! | private descriptor table | a file table of one thread's own, so that `RLIMIT_NOFILE` bounds a thread, not the process |
//! | remedy | what mends the cause of a finding, as it is typed |
//! | rival | another cause of the same symptom, which a number has to rule out before a finding is proved |
//! | sample | what the kernel answered at one moment: sockets by state, counters, limits, with its age |
//! | session | what is said over a connection after connect(): TLS, HTTP, WebSocket, messages |
//! | side | who has to change something: generator, path or target |
//! | skipped | an attempt that was due and could not start; it is counted, never hidden |
//! | slice | the part of a plan that one process does (`--part 2/3`): every third attempt, beginning with the second |
//! | slot | a place for one connection in a worker; its index names it in deadlines and readiness |
//! | stage | the part of an attempt in which it failed: lease, bind, connect, tls, handshake, session, close |
//! | tally | the counts and histograms of one worker in one window |
//! | threshold | a condition on a metric that decides whether a run passes |
//! | TIME_WAIT | the state in which the active closer keeps the tuple, for 60 s on Linux |
//! | tuple | source address, source port, destination address, destination port; in texts on running out of ports, the (source address, destination) pair whose ports are shared |
//! | verdict | passed, failed, invalid (the generator was the limit) or interrupted |
//! | window | a part of a run, a second long, whose counts are kept apart |

pub mod capacity;
pub mod cli;
pub mod diagnose;
pub mod doctor;
pub mod engine;
pub mod find;
pub mod host;
pub mod lab;
pub mod linux;
pub mod model;
pub mod observe;
pub mod plan;
pub mod protocol;
pub mod report;
pub mod result;
pub mod run;
pub mod server;
pub mod watch;
