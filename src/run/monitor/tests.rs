use super::*;
use crate::engine::{self, Control, Destinations};
use crate::linux::netns;
use crate::model::{Evidence, OnsetKind, Window};
use crate::plan::{Overrides, from_flags};
use std::net::TcpListener;

/// A look at the kernel that lasts for as long as nobody asks it to hurry.
struct Stuck {
    hurry: Hurry,
    /// The windows that were seen, and whether each was worth a look.
    seen: Vec<(u64, bool)>,
    came_to_an_end_by_itself: bool,
}

impl Stuck {
    fn new(hurry: Hurry) -> Stuck {
        Stuck { hurry, seen: Vec::new(), came_to_an_end_by_itself: false }
    }
}

impl Watch for Stuck {
    fn window(&mut self, window: &Complete, look: Look<'_>) -> Told {
        self.seen.push((window.row.planned, matches!(look, Look::At(_))));
        let begun = crate::linux::clock::Clock::start();
        while !self.hurry.is_called_for() {
            thread::sleep(Stamp::from_millis(1));
            self.came_to_an_end_by_itself |= begun.now() > Stamp::from_secs(60);
            if self.came_to_an_end_by_itself {
                break;
            }
        }
        let at = Stamp::from_secs(self.seen.len() as u64);
        Told { onsets: vec![Onset::new(OnsetKind::PortsLow, at, Evidence::default())], seen: None }
    }
}

fn row(number: u64) -> WindowRow {
    let mut window = Window::default();
    (window.index, window.planned) = (number, number);
    WindowRow::of(&window, Stamp::ZERO)
}

#[test]
fn windows_that_wait_for_a_long_look_are_kept_in_order_and_only_the_newest_is_looked_at() {
    let hurry = Hurry::default();
    let mut monitor = Monitor::start(Stuck::new(hurry.clone()), hurry).unwrap();
    monitor.window(&row(0), &Tally::default(), Stamp::ZERO);
    // The first look is under way and does not end; whoever hands over and asks is not kept waiting by it.
    (1..=3).for_each(|n| monitor.window(&row(n), &Tally::default(), Stamp::ZERO));
    assert!(monitor.news().0.is_empty(), "nothing has come of the look yet");
    let stuck = monitor.finish().unwrap();
    assert!(!stuck.came_to_an_end_by_itself);
    let numbers: Vec<u64> = stuck.seen.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert!(stuck.seen[3].1, "the newest is always looked at");
    assert!(stuck.seen.iter().filter(|(_, look)| *look).count() < 4, "{:?}", stuck.seen);
}

#[test]
fn what_was_told_is_taken_over_once_and_kept() {
    struct Tells;
    impl Watch for Tells {
        fn window(&mut self, window: &Complete, _: Look<'_>) -> Told {
            let onset =
                Onset::new(OnsetKind::PortsLow, Stamp::from_secs(window.row.planned), Evidence::default());
            Told { onsets: vec![onset], seen: Some(KernelWindow { cost_us: 1.0, ..KernelWindow::default() }) }
        }
    }
    let mut monitor = Monitor::start(Tells, Hurry::default()).unwrap();
    for number in 0..3 {
        monitor.window(&row(number), &Tally::default(), Stamp::ZERO);
        while monitor.news().0.len() <= number as usize {
            thread::sleep(Stamp::from_millis(1));
        }
    }
    let (onsets, seen) = monitor.news();
    assert_eq!(onsets.iter().map(|onset| onset.at.as_secs()).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(seen.is_some());
}

#[test]
fn a_look_that_never_ends_keeps_neither_progress_nor_an_interruption_waiting() {
    netns::for_test(|| {
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let asked = Overrides::to("tcp://127.0.0.1:9001").with("--rate", "50/s").with("--duration", "60s");
        let plan = from_flags(&asked).unwrap();
        let (hurry, control) = (Hurry::default(), Control::default());
        let mut monitor = Monitor::start(Stuck::new(hurry.clone()), hurry).unwrap();
        let destinations = Destinations::Known(vec![listener.local_addr().unwrap()]);
        let (mut windows, mut calls_during_the_look) = (0, 0);
        let run = engine::run(&plan, &destinations, &control, None, |progress| {
            calls_during_the_look += u32::from(windows > 0);
            if let Some(window) = progress.window {
                windows += 1;
                monitor.window(window, progress.tally, progress.elapsed);
            }
            assert!(monitor.news().0.is_empty(), "the look is still under way");
            if windows == 2 && calls_during_the_look >= 10 {
                control.interrupt();
            }
        });
        let run = run.unwrap();
        assert!(run.interrupted && calls_during_the_look >= 10);
        let stuck = monitor.finish().unwrap();
        assert!(!stuck.came_to_an_end_by_itself, "the run ended while the look went on");
        assert!(run.tally.ok() > 0 && !stuck.seen.is_empty());
    });
}

#[test]
fn the_thread_is_nice_and_sees_the_network_namespace_of_the_run() {
    struct Sees(Vec<u16>, i32);
    impl Watch for Sees {
        fn window(&mut self, _: &Complete, _: Look<'_>) -> Told {
            let listeners = crate::linux::listeners::all().unwrap();
            self.0 = listeners.iter().map(|listener| listener.socket.source.port()).collect();
            self.1 = priority::of_this_thread().unwrap();
            Told::default()
        }
    }
    netns::for_test(|| {
        let _listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let monitor = Monitor::start(Sees(Vec::new(), 0), Hurry::default()).unwrap();
        monitor.window(&row(0), &Tally::default(), Stamp::ZERO);
        let Sees(ports, nice) = monitor.finish().unwrap();
        assert_eq!((ports, nice), (vec![9001], 19));
    });
}
