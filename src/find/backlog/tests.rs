//! Targets whose limit is known, in owned time, against the judgement whether they kept up.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn load(course: &LoadCourse, value: f64, length: Duration) -> Load<'_> {
    Load { quantity: Quantity::Rate, value, length, course, queue: &[] }
}

/// Requests at a rate to a target that has one after the other, each for so long.
fn queued(rate: f64, each: Duration, length: Duration) -> LoadCourse {
    let mut course = LoadCourse::over(length);
    let mut free = Duration::ZERO;
    for n in 0..(rate * length.as_secs_f64()) as u32 {
        let began = s(f64::from(n) / rate);
        free = free.max(began) + each;
        course.answered(began, free);
        course.opened(began, free);
    }
    course
}

/// Conversations of five messages, one after the other, to a target that has one message after the other.
fn conversations(rate: f64, each: Duration, length: Duration) -> LoadCourse {
    let mut course = LoadCourse::over(length);
    let mut due: Vec<(Duration, u32)> =
        (0..(rate * length.as_secs_f64()) as u32).map(|n| (s(f64::from(n) / rate), 5)).collect();
    let mut free = Duration::ZERO;
    while let Some(next) = (0..due.len()).min_by_key(|at| due[*at].0) {
        let (began, left) = due.swap_remove(next);
        free = free.max(began) + each;
        course.answered(began, free);
        if left > 1 {
            due.push((free, left - 1));
        }
    }
    course
}

#[test]
fn a_backlog_that_is_worked_off_after_the_load_is_no_success() {
    // 50 requests a second can be answered.
    let behind = |rate, length| fell_behind(&load(&queued(rate, s(0.02), length), rate, length)).is_some();
    for length in [0.4, 1.0, 3.0, 5.0, 60.0].map(s) {
        assert!(!behind(40.0, length) && !behind(49.9, length), "{length:?}");
        assert!(behind(75.0, length), "{length:?}");
    }
    assert!([0.4, 1.0, 5.0].map(s).iter().all(|length| behind(400.0, *length)));
    assert!(behind(52.0, 5 * SECOND), "4 % beyond it, over 5 s");
}

#[test]
fn conversations_whose_messages_wait_for_each_other_are_told_as_well() {
    let behind =
        |rate, length| fell_behind(&load(&conversations(rate, s(0.0205), length), rate, length)).is_some();
    // 9.8 conversations a second.
    for length in [3, 5].map(|n| n * SECOND) {
        assert!(!behind(9.0, length), "{length:?}");
        assert!(behind(12.0, length) && behind(27.0, length) && behind(160.0, length), "{length:?}");
    }
}

#[test]
fn a_target_that_is_slow_by_itself_keeps_up_however_short_the_probe() {
    for (takes, length) in [(2.0, 3.0), (2.0, 1.0), (0.5, 0.3), (10.0, 5.0)] {
        let mut course = LoadCourse::over(s(length));
        for n in 0..200 {
            let began = s(length * f64::from(n) / 200.0);
            course.answered(began, began + s(takes));
            course.opened(began, began + s(takes));
        }
        assert_eq!(fell_behind(&load(&course, 200.0 / length, s(length))), None, "{takes} s in {length} s");
    }
}

#[test]
fn a_pause_of_the_target_and_a_cold_start_are_no_backlog() {
    let length = 5 * SECOND;
    let with = |extra: &dyn Fn(f64) -> f64| {
        let mut course = LoadCourse::over(length);
        for n in 0..500 {
            let began = f64::from(n) / 100.0;
            course.answered(s(began), s(began + 0.005 + extra(began)));
        }
        fell_behind(&load(&course, 100.0, length))
    };
    assert_eq!(with(&|began| if (4.5..4.6).contains(&began) { 4.6 - began } else { 0.0 }), None, "100 ms");
    assert_eq!(with(&|began| if began < 1.0 { 1.0 - began } else { 0.0 }), None, "a second at the start");
    assert_eq!(
        with(&|began| if ((began * 25.0) as u32).is_multiple_of(25) { 0.2 } else { 0.0 }),
        None,
        "4 % are late"
    );
    assert!(with(&|began| began / 10.0).is_some(), "and a tenth more than it can do is one");
}

#[test]
fn response_times_may_grow_with_a_load_that_grows() {
    // Connections stay, and each sends: four times as many messages in the last quarter of the time as in the first.
    let mut course = LoadCourse::over(5 * SECOND);
    for n in 0..1000 {
        let began = 5.0 * (f64::from(n) / 1000.0).sqrt();
        course.answered(s(began), s(began + 0.01 + began / 20.0));
    }
    assert_eq!(fell_behind(&load(&course, 50.0, 5 * SECOND)), None);
}

#[test]
fn too_little_is_no_sign() {
    for rate in [0.5, 1.0, 2.0] {
        let length = 3 * SECOND;
        assert_eq!(fell_behind(&load(&queued(rate, s(0.1), length), rate, length)), None);
    }
    assert_eq!(fell_behind(&load(&LoadCourse::default(), 100.0, SECOND)), None, "nothing was kept");
}

#[test]
fn syns_that_are_sent_again_because_nobody_accepts_are_told() {
    let mut course = LoadCourse::over(5 * SECOND);
    for n in 0..500 {
        let began = f64::from(n) / 100.0;
        // From the third second on, one in six finds the queue full.
        let again = began > 3.0 && n % 6 == 0;
        course.opened(s(began), s(began + if again { 1.0 } else { 0.000_1 }));
    }
    let behind = fell_behind(&load(&course, 100.0, 5 * SECOND));
    assert!(matches!(behind, Some(FellBehind::Openings { early_us: 0..200, .. })), "{behind:?}");
}

#[test]
fn a_queue_that_grows_is_told_before_it_is_full() {
    let course = LoadCourse::over(5 * SECOND);
    let seen = |each: &dyn Fn(f64) -> u64| -> Vec<(Stamp, u64)> {
        (0..60).map(|n| f64::from(n) / 10.0).map(|at| (s(at), each(at))).collect()
    };
    let judged = |queue: &[(Stamp, u64)]| fell_behind(&Load { queue, ..load(&course, 20.0, 5 * SECOND) });
    let grown = judged(&seen(&|at| (at * 10.0) as u64));
    assert!(matches!(grown, Some(FellBehind::AcceptQueue { early: 18..20, late: 43..45 })), "{grown:?}");
    assert_eq!(judged(&seen(&|at| (at * 7.0) as u64 % 3)), None, "some wait, and are accepted");
    assert_eq!(judged(&seen(&|_| 129)), None, "it was full before: time-outs tell of that");
    assert_eq!(judged(&[]), None);
}

#[test]
fn connections_that_are_to_be_held_are_open_when_the_load_ends() {
    let length = 2 * SECOND;
    let judged = |open: u32| {
        let mut course = LoadCourse::over(length);
        for n in 0..500 {
            let began = s(f64::from(n) / 500.0);
            course.opened(began, if n < open { began + s(0.7) } else { 3 * SECOND });
        }
        fell_behind(&Load { quantity: Quantity::Held, ..load(&course, 500.0, length) })
    };
    assert_eq!(judged(500), None);
    assert_eq!(judged(496), None, "one in a hundred may be on its way");
    assert_eq!(judged(300), Some(FellBehind::NotOpen { open: 300, wanted: 500 }));
}

#[test]
fn messages_of_connections_that_are_held_are_judged_when_all_are_open() {
    // Answers take longer while connections are added, and then as long as they take.
    let length = 4 * SECOND;
    let judged = |quantity, takes: &dyn Fn(f64) -> f64| {
        let mut course = LoadCourse::over(length);
        for n in 0..800 {
            let began = f64::from(n) / 200.0;
            course.answered(s(began), s(began + takes(began)));
            course.opened(s(began / 2.0), s(began / 2.0));
        }
        fell_behind(&Load { quantity, ..load(&course, 800.0, length) })
    };
    assert_eq!(judged(Quantity::Held, &|began| began.min(2.0) / 10.0), None);
    assert_eq!(judged(Quantity::Messages, &|began| began.min(1.0) / 10.0), None);
    let grows = |began: f64| 0.01 + (began - 2.0).max(0.0) / 4.0;
    assert!(judged(Quantity::Held, &grows).is_some() && judged(Quantity::Messages, &grows).is_some());
}
