//! Codes of Timing.

codes! {
    /// UCUM unit of time: `Timing.repeat.durationUnit` and `periodUnit`.
    UnitsOfTime = "http://hl7.org/fhir/ValueSet/units-of-time" {
        /// A second.
        Second = "s",
        /// A minute.
        Minute = "min",
        /// An hour.
        Hour = "h",
        /// A day.
        Day = "d",
        /// A week.
        Week = "wk",
        /// A month.
        Month = "mo",
        /// A year.
        Year = "a",
    }

    /// Day of the week: `Timing.repeat.dayOfWeek`.
    DaysOfWeek = "http://hl7.org/fhir/ValueSet/days-of-week" {
        /// Monday.
        Monday = "mon",
        /// Tuesday.
        Tuesday = "tue",
        /// Wednesday.
        Wednesday = "wed",
        /// Thursday.
        Thursday = "thu",
        /// Friday.
        Friday = "fri",
        /// Saturday.
        Saturday = "sat",
        /// Sunday.
        Sunday = "sun",
    }

    /// Event of daily life: `Timing.repeat.when`.
    EventTiming = "http://hl7.org/fhir/ValueSet/event-timing" {
        /// In the morning.
        Morning = "MORN",
        /// In the afternoon.
        Afternoon = "AFT",
        /// In the evening.
        Evening = "EVE",
        /// During the night.
        Night = "NIGHT",
        /// After falling asleep.
        AfterSleep = "PHS",
        /// Before going to sleep.
        BeforeSleep = "HS",
        /// After waking.
        AfterWaking = "WAKE",
        /// At a meal.
        Meal = "C",
        /// At breakfast.
        Breakfast = "CM",
        /// At lunch.
        Lunch = "CD",
        /// At dinner.
        Dinner = "CV",
        /// Before a meal.
        BeforeMeal = "AC",
        /// Before breakfast.
        BeforeBreakfast = "ACM",
        /// Before lunch.
        BeforeLunch = "ACD",
        /// Before dinner.
        BeforeDinner = "ACV",
        /// After a meal.
        AfterMeal = "PC",
        /// After breakfast.
        AfterBreakfast = "PCM",
        /// After lunch.
        AfterLunch = "PCD",
        /// After dinner.
        AfterDinner = "PCV",
    }
}
