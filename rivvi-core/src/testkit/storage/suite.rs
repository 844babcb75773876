//! The list of cases, the macro that makes tests of them, and the guard that the list is complete.

use std::collections::BTreeSet;

/// Calls `$then! { $given, module: [case, …], … }` with every case of the suite for stores.
#[doc(hidden)]
#[macro_export]
macro_rules! __storage_cases {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            [$($given)*]
            runs: [
                created_run_is_kept_with_its_first_entry,
                creating_a_run_twice_gives_the_first,
                run_keys_are_of_their_campaign,
                every_field_of_a_run_is_kept,
                runs_are_found_page_by_page,
                changed_run_is_committed_with_its_entries,
                refused_change_of_a_run_changes_nothing,
                change_of_an_unknown_run_is_not_found,
                change_of_a_run_counts_the_others_that_are_running,
                change_of_a_run_sees_its_tally,
                runs_start_within_the_places_of_their_organization,
                only_a_run_that_is_over_is_purged,
                purging_removes_what_is_live_and_keeps_what_is_told,
                purging_removes_contacts_that_were_never_called,
            ],
            contacts: [
                added_contact_is_kept_with_its_first_entry,
                adding_contacts_twice_adds_none,
                batch_with_an_unknown_run_adds_none,
                run_that_is_over_takes_no_contacts,
                batch_may_add_to_several_runs,
                large_batch_of_contacts_is_added,
                contacts_are_found_page_by_page,
                tally_of_an_unknown_run_is_not_found,
                waiting_contacts_of_a_run_that_may_dial_are_not_settled,
                waiting_contacts_of_a_run_that_ends_are_settled_in_batches,
            ],
            begin: [
                calls_follow_priority_then_due_time_then_id,
                contacts_are_taken_when_they_are_due_and_not_before,
                allowed_contact_is_called,
                deferred_contact_waits_until_its_new_due_time,
                refused_contact_is_settled,
                decision_sees_the_contact_as_it_stands,
                decision_sees_attempts_of_all_runs_of_the_organization,
                decision_sees_the_live_call_of_another_run,
                decision_sees_the_suppression_list,
                decision_does_not_see_the_suppression_list_of_another_organization,
                contacts_with_one_number_see_each_other,
                caps_hold_within_one_batch,
                run_that_is_not_active_yields_nothing,
                calls_max_bounds_calls_and_not_contacts,
                contacts_max_bounds_contacts,
                organization_limit_counts_live_calls_of_all_runs,
                run_limit_counts_live_calls_of_the_run,
                contacts_without_a_call_take_no_place,
                entries_of_a_contact_continue_over_batches,
                intended_call_keeps_its_lease,
                large_batch_of_calls_is_begun,
            ],
            apply: [
                change_of_a_call_is_committed,
                input_that_tells_nothing_new_changes_nothing,
                call_is_found_by_the_reference_of_its_provider,
                inputs_of_a_batch_see_those_before,
                repeated_updates_take_effect_once,
                update_of_an_unknown_call_is_kept_once_if_asked_for,
                facts_about_unknown_calls_are_not_kept,
                call_that_was_not_placed_is_no_attempt,
                opt_out_suppresses_the_number_at_once,
                actions_of_a_change_wait_in_the_outbox,
                late_analysis_enriches_a_call_that_ended,
                late_inputs_to_an_earlier_call_leave_its_contact,
                late_inputs_leave_a_settled_contact_settled,
                contact_waits_for_its_callback,
                batch_may_hold_calls_of_several_runs,
                change_is_committed_as_it_is,
                calls_of_contacts_come_in_their_order,
                empty_batch_of_inputs_changes_nothing,
                large_batch_of_inputs_is_applied,
            ],
            overdue: [
                overdue_calls_are_taken_with_a_new_lease,
                overdue_calls_are_taken_up_to_the_limit,
                taken_call_is_held_and_then_comes_again,
                former_holder_is_fenced_out,
                updates_count_whoever_holds_the_call,
                ended_call_is_never_overdue,
                changed_call_is_overdue_at_its_new_instant,
                overdue_calls_of_all_runs_are_taken,
                live_calls_are_listed_page_by_page,
                facts_of_a_number_are_of_the_organization,
                nothing_is_due_in_an_empty_ledger,
                next_due_is_the_first_contact_or_call,
                next_due_knows_inbox_and_outbox,
            ],
            suppression: [
                suppressed_number_is_on_the_list,
                suppressing_again_keeps_the_earlier_start_and_the_later_end,
                suppressing_tells_which_calls_are_live,
                number_suppressed_between_calls_is_not_called,
                released_number_may_be_called,
                number_suppressed_after_its_release_starts_anew,
                suppression_list_comes_page_by_page,
                large_batch_of_suppressions_is_written,
            ],
            items: [
                inbox_items_come_until_they_are_finished,
                outbox_items_come_until_they_are_finished,
                items_are_taken_up_to_the_limit,
                retried_items_come_at_their_new_instant,
                given_up_items_are_on_the_dead_letter_list,
                dead_letters_come_page_by_page,
                revived_items_come_again,
                finished_update_may_be_kept_again,
            ],
            journal: [
                journal_of_an_aggregate_comes_page_by_page,
                the_latest_entry_tells_its_instant,
                kinds_of_aggregates_are_told_apart,
                entries_of_campaigns_are_added_once,
                entries_of_campaigns_told_at_once_are_added_once,
                entries_of_other_aggregates_are_refused,
                feed_gives_every_entry_once,
                feed_goes_on_where_it_ended,
                cursors_are_kept_by_reader,
            ],
            catalog: [
                organization_is_kept_and_replaced,
                organizations_come_page_by_page,
                versions_of_a_campaign_are_kept,
                version_of_a_campaign_is_never_changed,
                version_without_its_predecessor_is_refused,
                campaigns_come_page_by_page,
            ],
            archive: [
                person_is_kept,
                person_with_a_known_hash_keeps_its_id,
                people_with_one_hash_in_one_batch_are_one,
                people_come_page_by_page_and_by_organization,
                archived_calls_are_kept_and_replaced,
                archived_calls_outlive_their_run,
                inbound_call_is_kept_with_what_it_answers,
                report_is_kept_and_replaced,
                contexts_are_kept_replaced_and_found_by_number,
                lapsed_contexts_are_left_out_and_purged,
            ],
            inbound: [
                contact_that_calls_back_is_settled,
                news_of_an_unknown_inbound_call_wait,
            ],
            messages: [
                message_waits_for_its_receipt_without_a_place,
                follow_up_begins_after_a_message_that_failed,
                action_of_a_follow_up_waits_until_its_time,
                everything_about_a_message_is_kept,
                large_batch_of_receipts_is_applied,
            ],
            concurrency: [
                concurrent_callers_keep_the_limit_and_share_the_contacts,
                concurrent_traffic_keeps_the_limits_and_the_counts,
                concurrent_starts_keep_the_places_of_the_organization,
                concurrent_changes_of_a_run_come_one_after_the_other,
                concurrent_creations_with_one_key_give_one_run,
                concurrent_versions_of_a_campaign_are_one,
                concurrent_imports_add_each_contact_once,
                suppression_wins_against_concurrent_callers,
                caps_hold_against_concurrent_callers_of_other_runs,
                concurrent_repetitions_of_an_update_take_effect_once,
                concurrent_takers_share_what_is_due,
                ending_a_run_races_with_its_callers,
                finishing_a_run_races_with_its_import,
                concurrent_suppressions_are_told_without_gaps,
                feed_loses_nothing_while_others_write,
                dropped_verbs_leave_the_store_whole,
            ],
        }
    };
}

/// Makes a test of every case of the suite for stores, each named like its case and on a store of its own.
///
/// The argument is a function or closure that returns a future of an empty store: a
/// [`Storage`](crate::storage::Storage), or a pair of one and whatever must live as long. Attributes before it go to
/// every test. See [`testkit`](crate::testkit).
#[macro_export]
macro_rules! storage_conformance {
    ($(#[$attribute:meta])* $factory:expr) => {
        $crate::__storage_cases! { [$crate::__storage_tests] [$(#[$attribute])*] ($factory) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_tests {
    ([$attributes:tt $factory:tt] $($module:ident: [$($case:ident,)*],)*) => {
        $($($crate::__storage_test! { $attributes $factory $module $case })*)*

        $crate::__storage_random! { $attributes $factory }

        #[test]
        fn storage_suite_is_complete() {
            $crate::testkit::storage::assert_suite_is_complete();
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_test {
    ([$($attribute:tt)*] ($factory:expr) $module:ident $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::testkit::run_case(async {
                let fixture = ($factory)().await;
                let storage: &$crate::storage::Storage = $crate::testkit::Fixture::subject(&fixture);
                $crate::testkit::storage::$module::$case(storage).await;
            });
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __storage_random {
    ([$($attribute:tt)*] ($factory:expr)) => {
        #[test]
        $($attribute)*
        fn random_sequences_agree_with_the_store_in_memory() {
            $crate::testkit::storage::assert_random_sequences_agree(32, || ($factory)());
        }
    };
}

macro_rules! cases {
    ([] $($module:ident: [$($case:ident,)*],)*) => {
        /// Every case: its module and its name.
        pub const CASES: &[(&str, &str)] = &[$($((stringify!($module), stringify!($case)),)*)*];

        /// The source of every module with cases.
        const SOURCES: &[(&str, &str)] =
            &[$((stringify!($module), include_str!(concat!(stringify!($module), ".rs"))),)*];
    };
}

__storage_cases! { [cases] }

/// Asserts that every public case of the suite is in the list from which tests are made, and that the suite calls
/// every verb of the traits of a store.
///
/// # Panics
/// If one is not.
pub fn assert_suite_is_complete() {
    let declared = include_str!("mod.rs").lines().filter_map(|line| line.strip_prefix("pub mod "));
    let declared: BTreeSet<&str> = declared.map(|module| module.trim_end_matches(';')).collect();
    let listed: BTreeSet<&str> = SOURCES.iter().map(|(module, _)| *module).collect();
    assert_eq!(declared, listed, "every public module of the suite has cases in the list");
    for (module, source) in SOURCES {
        let listed = CASES.iter().filter(|(of, _)| of == module).map(|(_, case)| *case);
        crate::testkit::assert_lists_all(source, listed, module);
    }
    let traits = [
        include_str!("../../storage/catalog.rs"),
        include_str!("../../storage/ledger.rs"),
        include_str!("../../storage/archive.rs"),
    ];
    for verb in
        traits.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("    async fn "))
    {
        let verb = verb.split('(').next().unwrap_or(verb);
        let call = format!(".{verb}(");
        assert!(SOURCES.iter().any(|(_, source)| source.contains(&call)), "a case calls `{verb}`");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn suite_is_complete() {
        super::assert_suite_is_complete();
    }
}
