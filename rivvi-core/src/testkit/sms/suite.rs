//! The list of cases, the macro that makes tests of them, and the guard that the list is complete.

/// Calls `$then! { $given case, … }` with every case of the suite for providers of text messages.
#[doc(hidden)]
#[macro_export]
macro_rules! __sms_cases {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            [$($given)*]
            name_and_capabilities_stay_the_same,
            message_goes_out_once_as_it_was_written,
            long_message_goes_out_whole,
            message_comes_from_every_kind_of_sender,
            messages_sent_at_once_go_out_once_each,
            repeated_sending_goes_out_once_if_declared,
            lookup_does_what_is_declared,
            dropped_sending_goes_out_at_most_once,
            faults_are_told_for_what_they_are,
            provider_recovers_from_faults,
            texts_and_logs_show_no_personal_data_and_no_secrets,
            receipt_is_read_alike_every_time,
            inbound_message_is_read_as_it_was_written,
            forged_webhook_is_refused,
            garbage_webhook_does_not_panic,
            stale_webhook_is_refused,
            strange_webhook_is_acknowledged,
            receipts_told_in_any_order_end_alike,
        }
    };
}

/// Makes a test of every case of the suite for providers of text messages, each named like its case and with a harness of its own.
///
/// The argument is a function or closure that returns a future of a
/// [`SmsHarness`](crate::testkit::sms::SmsHarness). Attributes before it go to every test.
#[macro_export]
macro_rules! sms_conformance {
    ($(#[$attribute:meta])* $factory:expr) => {
        $crate::__sms_cases! { [$crate::__sms_tests] [$(#[$attribute])*] ($factory) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __sms_tests {
    ([$attributes:tt $factory:tt] $($case:ident,)*) => {
        $($crate::__sms_test! { $attributes $factory $case })*

        #[test]
        fn sms_suite_is_complete() {
            $crate::testkit::sms::assert_suite_is_complete();
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __sms_test {
    ([$($attribute:tt)*] ($factory:expr) $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::testkit::run_case(async {
                let harness = ($factory)().await;
                $crate::testkit::sms::$case(&harness).await;
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

__sms_cases! { [cases] }

/// Asserts that every case is in the list from which tests are made.
///
/// # Panics
/// If one is not.
pub fn assert_suite_is_complete() {
    crate::testkit::assert_lists_all(
        concat!(include_str!("../sms.rs"), include_str!("webhook.rs")),
        CASES.iter().copied(),
        "sms",
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn suite_is_complete() {
        super::assert_suite_is_complete();
    }
}
