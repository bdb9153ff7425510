//! One measurement of several slices of the same load.

use std::time::Duration;

use super::figures::Figures;
use super::{LoadError, hlog};
use crate::scenario::load::Load;

/// The figures of all slices together: response times as one histogram, rates over the time of all, costs over their
/// messages. The log has the slices one after the other, without the time between them.
///
/// # Errors
/// That nothing was measured in any slice, or that a slice's interval log cannot be read; in words.
pub fn merge(load: &Load, slices: &[Figures]) -> Result<Figures, String> {
    let measured: Vec<&Figures> = slices.iter().filter(|slice| slice.replies > 0).collect();
    let first = measured.first().ok_or_else(|| LoadError::Nothing.to_string())?;
    if slices.len() == 1 {
        return Ok((*first).clone());
    }
    // In a slice without replies the time passed all the same.
    let empty = load.amount.length().as_secs_f64() * (slices.len() - measured.len()) as f64;
    let (mut intervals, mut begins) = (Vec::new(), Duration::ZERO);
    for slice in &measured {
        let mut read = hlog::read(&slice.log)?;
        let length = read.last().map_or(Duration::ZERO, |last| last.begun + last.length);
        read.iter_mut().for_each(|interval| interval.begun += begins);
        intervals.append(&mut read);
        begins += length;
    }
    let lines = intervals.iter().map(|interval| (interval.begun, interval.length, &interval.times));
    let log = hlog::write(&load.id, lines);
    let times = hlog::whole(&intervals).ok_or("the slices' response times do not add up")?;
    let us = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1e3;
    let sum = |of: fn(&Figures) -> u64| slices.iter().map(of).sum::<u64>();
    let replies = sum(|slice| slice.replies);
    let seconds: f64 = measured.iter().map(|slice| slice.replies as f64 / slice.rate).sum::<f64>() + empty;
    // By what each slice weighs: its share of all replies.
    let mean = |of: fn(&Figures) -> Option<f64>| -> Option<f64> {
        let weighed = measured.iter().map(|slice| Some(of(slice)? * slice.replies as f64));
        Some(weighed.sum::<Option<f64>>()? / replies.max(1) as f64)
    };
    Ok(Figures {
        requests: sum(|slice| slice.requests),
        replies,
        errors: sum(|slice| slice.errors),
        out_of_order: sum(|slice| slice.out_of_order),
        rate: if seconds > 0.0 { replies as f64 / seconds } else { 0.0 },
        mean_us: times.mean() / 1e3,
        p50_us: us(0.5),
        p90_us: us(0.9),
        p99_us: us(0.99),
        p999_us: us(0.999),
        max_us: times.max() as f64 / 1e3,
        count: times.len(),
        cpu_us_per_message: mean(|slice| Some(slice.cpu_us_per_message)).unwrap_or_default(),
        context_switches_per_message: mean(|slice| Some(slice.context_switches_per_message))
            .unwrap_or_default(),
        datagrams_per_message: mean(|slice| Some(slice.datagrams_per_message)).unwrap_or_default(),
        bytes_per_message: mean(|slice| slice.bytes_per_message),
        socket_calls_per_message: mean(|slice| slice.socket_calls_per_message),
        allocations_per_message: mean(|slice| slice.allocations_per_message),
        rss_peak_mib: slices.iter().map(|slice| slice.rss_peak_mib).fold(0.0, f64::max),
        log,
        ..(*first).clone()
    })
}

#[cfg(test)]
mod tests {
    use super::super::recorder::Recorder;
    use super::super::tests::load as of_model;
    use super::*;
    use crate::scenario::load::LoadModel;

    fn load() -> Load {
        Load { slices: 2, ..of_model(LoadModel::Closed { in_flight: vec![1] }, Duration::from_millis(200)) }
    }

    fn slice(took_us: u64, replies: u64, rate: f64, allocations: Option<f64>) -> Figures {
        let mut recorder = Recorder::new(Duration::from_millis(1));
        (0..replies).for_each(|_| recorder.record(Duration::ZERO, took_us * 1_000));
        Figures {
            model: "closed",
            requests: replies,
            replies,
            rate,
            cpu_us_per_message: took_us as f64,
            allocations_per_message: allocations,
            log: recorder.log("latency"),
            ..Figures::default()
        }
    }

    #[test]
    fn slices_are_weighed_by_their_replies_and_their_times_merged() {
        // 100 in a tenth of a second, 300 in one: 400 in 1.1.
        let slices = [slice(10, 100, 1_000.0, Some(1.0)), slice(50, 300, 300.0, Some(3.0))];
        let whole = merge(&load(), &slices).expect("figures");
        assert_eq!((whole.replies, whole.count), (400, 400));
        assert!((whole.rate - 400.0 / 1.1).abs() < 1e-6, "{}", whole.rate);
        // Not the mean of both medians.
        assert!((whole.p50_us - 50.0).abs() < 0.1, "{}", whole.p50_us);
        assert!((whole.cpu_us_per_message - 40.0).abs() < 1e-9);
        assert_eq!(whole.allocations_per_message, Some(2.5));
        let begun: Vec<_> = hlog::read(&whole.log).expect("a log").iter().map(|one| one.begun).collect();
        assert_eq!(begun, [Duration::ZERO, Duration::from_millis(1)]);
    }

    #[test]
    fn a_slice_without_replies_takes_its_time_and_tells_nothing_else() {
        let slices = [slice(10, 100, 1_000.0, Some(1.0)), Figures::empty(&load())];
        let whole = merge(&load(), &slices).expect("figures");
        // A tenth of a second, and the fifth that the empty one was to take.
        assert!((whole.rate - 100.0 / 0.3).abs() < 1e-6, "{}", whole.rate);
        assert_eq!((whole.count, whole.allocations_per_message), (100, Some(1.0)));
        assert!(merge(&load(), &[Figures::empty(&load())]).is_err());
        assert!(merge(&load(), &[]).is_err());
    }

    #[test]
    fn what_one_slice_does_not_know_the_whole_does_not() {
        let slices = [slice(10, 10, 10.0, None), slice(10, 10, 10.0, Some(1.0))];
        let whole = merge(&load(), &slices).expect("figures");
        assert_eq!(whole.allocations_per_message, None);
        let broken = Figures { log: "nonsense".to_owned(), ..slice(1, 1, 1.0, None) };
        assert!(merge(&load(), &[broken.clone(), broken]).is_err());
    }
}
