//! The list of cases, the macro that makes tests of them, and the guard that the list is complete.

/// Calls `$then! { $given case, … }` with every case of the suite for voice providers.
#[doc(hidden)]
#[macro_export]
macro_rules! __voice_cases {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            [$($given)*]
            name_and_capabilities_stay_the_same,
            placed_call_rings_once,
            calls_placed_at_once_ring_once_each,
            repeated_placement_rings_once_if_declared,
            lookup_does_what_is_declared,
            hang_up_does_what_is_declared,
            dropped_placement_rings_at_most_once,
            faults_are_told_for_what_they_are,
            provider_recovers_from_faults,
            texts_show_no_personal_data_and_no_secrets,
            webhook_is_read_alike_every_time,
            forged_webhook_is_refused,
            garbage_webhook_does_not_panic,
            stale_webhook_is_refused,
            strange_webhook_is_acknowledged,
            story_told_in_any_order_ends_alike,
        }
    };
}

/// Makes a test of every case of the suite for voice providers, each named like its case and with a harness of its own.
///
/// The argument is a function or closure that returns a future of a
/// [`VoiceHarness`](crate::testkit::voice::VoiceHarness). Attributes before it go to every test.
#[macro_export]
macro_rules! voice_conformance {
    ($(#[$attribute:meta])* $factory:expr) => {
        $crate::__voice_cases! { [$crate::__voice_tests] [$(#[$attribute])*] ($factory) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __voice_tests {
    ([$attributes:tt $factory:tt] $($case:ident,)*) => {
        $($crate::__voice_test! { $attributes $factory $case })*

        #[test]
        fn voice_suite_is_complete() {
            $crate::testkit::voice::assert_suite_is_complete();
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __voice_test {
    ([$($attribute:tt)*] ($factory:expr) $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::testkit::run_case(async {
                let harness = ($factory)().await;
                $crate::testkit::voice::$case(&harness).await;
            });
        }
    };
}

macro_rules! cases {
    ([] $($case:ident,)*) => {
        /// The name of every case.
        pub const CASES: &[&str] = &[$(stringify!($case),)*];
    };
}

__voice_cases! { [cases] }

/// Asserts that every case is in the list from which tests are made.
///
/// # Panics
/// If one is not.
pub fn assert_suite_is_complete() {
    crate::testkit::assert_lists_all(
        concat!(include_str!("../voice.rs"), include_str!("webhook.rs")),
        CASES.iter().copied(),
        "voice",
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn suite_is_complete() {
        super::assert_suite_is_complete();
    }
}
