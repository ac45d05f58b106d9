//! What every store does, checked on each: SQLite in a file and in memory always, PostgreSQL where `DATABASE_URL` is
//! set (each test in a schema of its own, so that they run side by side).

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking and say what they skip"
)]

mod candidates;
mod durability;
mod idempotency;
mod jobs;
mod migrations;
mod outcomes;
mod runs;
mod selections;
mod settings;
mod support;
mod tenants;
mod tokens;

/// Makes a test of each function for each kind of store.
macro_rules! contract {
    ($($module:ident: $($test:ident),+;)+) => {
        mod sqlite_file {
            contract!(@tests File, $($module: $($test),+;)+);
        }
        mod sqlite_memory {
            contract!(@tests Memory, $($module: $($test),+;)+);
        }
        mod postgres {
            contract!(@tests Postgres, $($module: $($test),+;)+);
        }
        /// Every test there is by name; see `no_test_is_forgotten`.
        const TESTS: &[&str] = &[$($(stringify!($test)),+),+];
    };
    (@tests $kind:ident, $($module:ident: $($test:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(fixture) = crate::support::Fixture::new(crate::support::Kind::$kind).await {
                    crate::$module::$test(&fixture).await;
                    fixture.remove().await;
                }
            }
        )+)+
    };
}

contract! {
    candidates:
        an_issue_keeps_its_latest_text,
        issues_are_listed_in_byte_order,
        missing_records_are_not_found,
        the_same_trajectory_twice_is_one_row,
        a_candidate_comes_back_as_it_was,
        candidates_come_in_the_order_asked_for,
        patches_come_without_conversations,
        a_thousand_candidates_are_stored_and_listed,
        a_candidate_of_another_issue_is_refused,
        keys_that_cannot_be_stored_are_refused,
        test_runs_are_kept_with_reruns,
        scores_are_per_revision_and_replaced;
    durability:
        cancelled_callers_poison_nothing,
        a_refused_write_takes_nothing_else_with_it,
        two_processes_write_the_same_database,
        what_was_written_is_there_after_opening_again;
    idempotency:
        a_key_is_claimed_completed_and_answered_again,
        a_claim_that_expired_is_taken_over,
        a_claim_that_is_renewed_is_not_taken_over,
        a_released_key_is_free_at_once,
        of_many_claims_one_is_acquired,
        what_expired_is_purged;
    jobs:
        a_job_runs_to_its_end,
        jobs_start_when_due_and_in_order,
        no_job_goes_to_two_workers,
        a_dead_workers_job_goes_to_another_and_the_fence_holds,
        errors_are_retried_until_the_attempts_are_used_up,
        jobs_are_cancelled,
        jobs_are_listed_newest_first,
        bad_jobs_are_refused,
        a_job_given_back_keeps_its_attempts,
        what_ended_badly_can_go_on,
        a_job_completes_an_idempotent_request;
    migrations:
        a_fresh_store_has_every_migration,
        a_schema_of_another_version_is_refused,
        an_empty_database_has_nothing_applied,
        a_fresh_database_is_opened_by_several_at_once,
        wrong_urls_are_explained_without_the_password;
    outcomes:
        the_latest_outcome_counts_and_history_stays,
        of_two_reports_at_once_the_higher_id_counts,
        bad_outcomes_are_refused_whole,
        outcomes_complete_an_idempotent_request,
        records_of_a_request_are_stored_together_or_not_at_all,
        labelled_candidates_come_issue_by_issue,
        labelled_candidates_tell_what_pairs_need;
    runs:
        events_are_numbered_without_gaps,
        a_run_ends_with_its_last_event_or_not_at_all,
        only_the_holder_of_the_lease_reports,
        writers_at_once_get_numbers_of_their_own,
        checkpoints_are_registered_replaced_and_forgotten;
    selections:
        a_selection_comes_back_as_it_was,
        a_selection_without_candidates_is_stored,
        equal_trajectories_under_two_names_share_a_row,
        known_candidates_are_joined_by_content,
        an_id_is_used_once_and_nothing_is_left_of_the_second,
        contradictions_are_refused,
        a_lost_claim_undoes_the_selection,
        the_list_is_newest_first_and_pages_without_gaps,
        the_list_is_filtered,
        concurrent_selections_of_the_same_candidates_all_succeed;
    settings:
        a_setting_comes_back_with_its_version,
        of_two_changes_at_once_one_is_refused;
    tenants:
        records_of_another_tenant_are_not_there,
        the_same_content_in_two_tenants_is_two_records,
        jobs_and_runs_of_another_tenant_are_not_there,
        idempotency_keys_are_each_tenants_own,
        what_was_there_before_belongs_to_the_default_tenant;
    tokens:
        a_token_is_found_by_id_and_hash,
        ids_and_secrets_are_unique,
        a_revoked_token_stays_listed,
        use_is_noted_once_a_minute,
        a_rotated_token_has_two_secrets_for_a_while;
}

#[test]
fn no_test_is_forgotten() {
    let sources = [
        include_str!("candidates.rs"),
        include_str!("durability.rs"),
        include_str!("idempotency.rs"),
        include_str!("jobs.rs"),
        include_str!("migrations.rs"),
        include_str!("outcomes.rs"),
        include_str!("runs.rs"),
        include_str!("selections.rs"),
        include_str!("settings.rs"),
        include_str!("tenants.rs"),
        include_str!("tokens.rs"),
    ];
    let written: Vec<&str> = sources
        .iter()
        .flat_map(|source| source.split("pub(crate) async fn ").skip(1))
        .filter_map(|rest| rest.split('(').next())
        .collect();
    assert_eq!(written, TESTS);
}
