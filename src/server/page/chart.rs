//! Charts as SVG in HTML pages: the time to field, and the progress of a rollout. Each also has its numbers in words.

use crate::service::FieldTimes;
use maud::{Markup, html};
use std::time::Duration;

const WIDTH: u64 = 900;
const HEIGHT: u64 = 180;
const BOTTOM: u64 = 150;
const TOP: u64 = 18;

/// Formats a duration in its largest unit.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns the distribution of the times from a release to the report of its version.
pub(super) fn field_times(times: &FieldTimes) -> Markup {
    let mut before = 0;
    let bars: Vec<(String, u64)> = times
        .cumulative()
        .map(|(bound, sum)| {
            let count = sum.saturating_sub(before);
            before = sum;
            (bound.map_or_else(|| "longer".to_owned(), |bound| format!("\u{2264} {}", span(bound))), count)
        })
        .collect();
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let step = WIDTH / u64::try_from(bars.len()).unwrap_or(1).max(1);
    html! {
        figure.chart {
            figcaption #field-times { "Components by the time from the release to the report of the version" }
            div.scroll tabindex="0" role="group" aria-label="Time to field" {
                svg role="img" aria-labelledby="field-times" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT) {
                    line.axis x1="0" x2=(WIDTH) y1=(BOTTOM) y2=(BOTTOM) {}
                    @for (at, (name, count)) in (0_u64..).zip(&bars) {
                        @let tall = count * (BOTTOM - TOP) / most;
                        @let left = at * step;
                        rect.bar x=(left + 4) y=(BOTTOM - tall) width=(step.saturating_sub(8)) height=(tall) {}
                        @if *count > 0 { text x=(left + step / 2) y=(BOTTOM - tall - 4) text-anchor="middle" { (count) } }
                        text x=(left + step / 2) y=(BOTTOM + 16) text-anchor="middle" { (name) }
                    }
                }
            }
            details {
                summary { "The numbers" }
                ul.list { @for (name, count) in bars.iter().filter(|(_, count)| *count > 0) { li { (name) ": " (count) } } }
            }
        }
    }
}

/// Returns a progress bar with the done, failed and active shares of a total.
pub(super) fn meter(words: &str, all: u64, done: u64, wrong: u64, going: u64) -> Markup {
    let part = |count: u64| count * 1_000 / all.max(1);
    let (done_to, wrong_to) = (part(done), part(done + wrong));
    html! {
        svg.meter role="img" aria-label=(words) viewBox="0 0 1000 14" preserveAspectRatio="none" {
            rect.base x="0" y="0" width="1000" height="14" {}
            rect.done x="0" y="0" width=(done_to) height="14" {}
            rect.wrong x=(done_to) y="0" width=(wrong_to - done_to) height="14" {}
            rect.going x=(wrong_to) y="0" width=(part(going)) height="14" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_has_a_bar_and_a_number_for_each_interval() {
        let mut times = FieldTimes::default();
        for hours in [1, 2, 2, 30] {
            times.count(Duration::from_secs(hours * 3_600));
        }
        let chart = field_times(&times).into_string();
        assert_eq!(chart.matches("<rect").count(), 15);
        assert!(chart.contains("<li>\u{2264} 4 h: 2</li>") && chart.contains("<li>\u{2264} 2 d: 1</li>"), "{chart}");
        assert!(!field_times(&FieldTimes::default()).into_string().contains("<li>"));
    }

    #[test]
    fn meter_is_no_wider_than_its_whole() {
        let meter = meter("x", 10, 5, 2, 3).into_string();
        assert!(meter.contains("width=\"500\"") && meter.contains("width=\"200\"") && meter.contains("width=\"300\""));
        assert!(super::meter("x", 0, 0, 0, 0).into_string().contains("width=\"0\""));
    }
}
