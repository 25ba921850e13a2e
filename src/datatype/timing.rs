//! Schedules of events.

use super::{CodeableConcept, Duration, Period, Primitive, Range, shown};
use crate::code::{DaysOfWeek, EventTiming, UnitsOfTime};
use crate::primitive::{DateTime, Decimal, Integer, Time, UnsignedInt};

datatype! {
    /// A schedule: moments, a rule by which they repeat, or both.
    #[derive(Default)]
    pub struct Timing is "Timing" at "Timing" {
        /// The moments.
        event "event" [0..*] Primitive<DateTime>;
        /// The rule by which they repeat.
        repeat "repeat" [0..1] Box<Repeat>;
        /// A code for the schedule, such as twice a day.
        code "code" [0..1] CodeableConcept;
    }
}

choice! {
    /// The limits of a schedule.
    pub enum Bounds "bounds" {
        /// `boundsDuration`: for how long.
        Duration Box<Duration>;
        /// `boundsRange`: for at least and at most how long.
        Range Box<Range>;
        /// `boundsPeriod`: from when to when.
        Period Box<Period>;
    }
}

datatype! {
    /// The rule of a [`Timing`].
    #[derive(Default)]
    pub struct Repeat is "Element" at "Timing.repeat" {
        /// The limits of the schedule.
        bounds "bounds[x]" [x 0..1] Bounds;
        /// How many times it happens.
        count "count" [0..1] Primitive<Integer>;
        /// How many times it happens at most.
        count_max "countMax" [0..1] Primitive<Integer>;
        /// How long it takes each time.
        duration "duration" [0..1] Primitive<Decimal>;
        /// How long it takes at most.
        duration_max "durationMax" [0..1] Primitive<Decimal>;
        /// The unit of the duration.
        duration_unit "durationUnit" [0..1] Primitive<UnitsOfTime>;
        /// How often it happens in a period.
        frequency "frequency" [0..1] Primitive<Integer>;
        /// How often it happens in a period at most.
        frequency_max "frequencyMax" [0..1] Primitive<Integer>;
        /// The length of the period.
        period "period" [0..1] Primitive<Decimal>;
        /// The length of the period at most.
        period_max "periodMax" [0..1] Primitive<Decimal>;
        /// The unit of the period.
        period_unit "periodUnit" [0..1] Primitive<UnitsOfTime>;
        /// The days of the week.
        day_of_week "dayOfWeek" [0..*] Primitive<DaysOfWeek>;
        /// The times of the day.
        time_of_day "timeOfDay" [0..*] Primitive<Time>;
        /// The events of the day that it is tied to.
        when "when" [0..*] Primitive<EventTiming>;
        /// The minutes before or after the event.
        offset "offset" [0..1] Primitive<UnsignedInt>;
    }
    rules {
        "tim-9", "an offset needs an event in `when`, and one other than C, CM, CD and CV",
            |repeat| repeat.offset.is_none() || (!repeat.when.is_empty() && !at_a_meal(repeat)), said offset_fault;
        "tim-5", "a period is not negative", |repeat| !is_negative(&repeat.period),
            said |repeat| format!("the period {} is negative, wanted 0 or more", shown(repeat.period.as_ref()));
        "tim-6", "a `periodMax` needs a `period`", |repeat| repeat.period_max.is_none() || repeat.period.is_some(),
            said |repeat| format!("found the `periodMax` {} without a `period`", shown(repeat.period_max.as_ref()));
        "tim-7", "a `durationMax` needs a `duration`",
            |repeat| repeat.duration_max.is_none() || repeat.duration.is_some(),
            said |repeat| format!("found the `durationMax` {} without a `duration`", shown(repeat.duration_max.as_ref()));
        "tim-8", "a `countMax` needs a `count`", |repeat| repeat.count_max.is_none() || repeat.count.is_some(),
            said |repeat| format!("found the `countMax` {} without a `count`", shown(repeat.count_max.as_ref()));
        "tim-1", "a duration needs its unit", |repeat| repeat.duration.is_none() || repeat.duration_unit.is_some(),
            said |repeat| format!("the duration {} has no `durationUnit`", shown(repeat.duration.as_ref()));
        "tim-10", "`timeOfDay` and `when` exclude each other",
            |repeat| repeat.time_of_day.is_empty() || repeat.when.is_empty(), said |repeat| {
                let (time, event) = (shown(repeat.time_of_day.first()), shown(repeat.when.first()));
                format!("found the `timeOfDay` {time} beside the event {event} in `when`, wanted one of them")
            };
        "tim-2", "a period needs its unit", |repeat| repeat.period.is_none() || repeat.period_unit.is_some(),
            said |repeat| format!("the period {} has no `periodUnit`", shown(repeat.period.as_ref()));
        "tim-4", "a duration is not negative", |repeat| !is_negative(&repeat.duration),
            said |repeat| format!("the duration {} is negative, wanted 0 or more", shown(repeat.duration.as_ref()));
    }
}

fn is_negative(number: &Option<Primitive<Decimal>>) -> bool {
    let value = number.as_ref().and_then(|number| number.value.as_ref());
    value.is_some_and(|value| value.is_negative() && !value.is_zero())
}

fn offset_fault(repeat: &Repeat) -> String {
    let offset = shown(repeat.offset.as_ref());
    match repeat.when.iter().find(|event| event.value.as_ref().is_some_and(is_meal)) {
        Some(event) => {
            let event = shown(Some(event));
            format!(
                "found the offset {offset} with the event {event} in `when`, wanted an event before or after the meal"
            )
        }
        None => format!("found the offset {offset} without an event in `when`"),
    }
}

/// Returns whether an event is a meal itself, which has no before and after.
fn is_meal(event: &EventTiming) -> bool {
    use EventTiming::{Breakfast, Dinner, Lunch, Meal};
    matches!(event, Meal | Breakfast | Lunch | Dinner)
}

/// Returns whether one of the events is a meal.
fn at_a_meal(repeat: &Repeat) -> bool {
    repeat.when.iter().filter_map(|when| when.value.as_ref()).any(is_meal)
}

impl Timing {
    /// Returns a schedule of once in a period: every 2 seconds.
    ///
    /// ```
    /// use fhir_devices::{code::UnitsOfTime, datatype::Timing};
    ///
    /// let timing = Timing::every(2, UnitsOfTime::Second);
    /// assert_eq!(timing.repeat.unwrap().period, Some("2".parse()?));
    /// # Ok::<(), fhir_devices::element::Malformed>(())
    /// ```
    #[must_use]
    pub fn every(period: impl Into<Decimal>, unit: UnitsOfTime) -> Self {
        let repeat = Repeat { period: Some(period.into().into()), period_unit: Some(unit.into()), ..Repeat::default() };
        Self { repeat: Some(Box::new(repeat)), ..Self::default() }
    }
}
