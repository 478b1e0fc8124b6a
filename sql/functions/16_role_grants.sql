-- What each role of walpost may do. A change here is applied by 17_role_model.sql, which walpost migrate runs each time.
--
-- The roles are groups without a login, one set for the whole cluster unless a prefix gives an installation its own. Nothing is granted to PUBLIC. Functions of walpost_internal are listed
-- where a function with the rights of its caller, a view or a policy needs them.

CREATE OR REPLACE FUNCTION walpost_internal.role_grants() RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT jsonb_object_agg(walpost_internal.role_prefix() || g.key, g.value) FROM jsonb_each($json$ {
  "walpost_publisher": [
    "INSERT (event_id, organization_id, event_type, event_version, topic, entity_type, entity_id, target, idempotency_key, payload, headers, expires_at), SELECT (event_id, seq, organization_id, event_type, event_version, topic, entity_type, entity_id, target, idempotency_key, payload, headers, created_at, created_xid, expires_at, redacted_at) ON walpost.outbox",
    "SELECT ON walpost.settings, walpost.event_types",
    "SELECT, INSERT (organization_id, idempotency_key, event_id, hash) ON walpost.idempotency_keys",
    "USAGE ON SEQUENCE walpost.idempotency_conflicts",
    "SELECT, INSERT (organization_id, idempotency_key, command, arguments_hash), UPDATE (result) ON walpost.command_results",
    "SELECT ON walpost.endpoints",
    "EXECUTE ON FUNCTION walpost.publish, walpost.publish_many, walpost.emit, walpost_internal.parse_events, walpost_internal.raise_invalid_events, walpost_internal.is_valid_event, walpost_internal.raise_invalid_event, walpost_internal.check_event_type, walpost_internal.with_trace, walpost_internal.max_payload_bytes, walpost.uuid_v7, walpost.once, walpost.add_endpoint, walpost.update_endpoint, walpost.rotate_endpoint_secret, walpost.remove_endpoint, walpost.pause_endpoint, walpost.enable_endpoint, walpost.disable_endpoint, walpost.send_test_event, walpost_internal.refuse_command, walpost_internal.refuse_organization, walpost_internal.refuse_expiry, walpost_internal.is_time, walpost_internal.event_hash, walpost_internal.tell_key_conflict, walpost_internal.warn_of_json_text, walpost.event_status, walpost_internal.own_event_status, walpost_internal.claimed_organization, walpost_internal.organization_text, walpost_internal.current_organization, walpost_internal.current_organization_id, walpost_internal.reads_every_event"
  ],
  "walpost_reader": [
    "SELECT ON walpost.outbox, walpost.pruned_events, walpost.parked, walpost.checkpoints, walpost.settings, walpost.event_types, walpost.organization_health, walpost.queue_status, walpost.error_summary, walpost.event_timeline, walpost.endpoint_health",
    "SELECT (id, slot, system_identifier, epoch, sink, lane, reason, detail, attempts, commit_lsn, ordinal, event_id, organization_id, event_type, event_version, topic, entity_type, entity_id, target, idempotency_key, payload, headers, created_at, expires_at, redacted_at, committed_at, poison_row, stored_at, blocks) ON walpost.dead_letters",
    "SELECT (id, slot, sink, organization_id, lane, first_event_id, last_event_id, event_ids, events, attempt, job, outcome, reason, duration_ms, at) ON walpost.delivery_log",
    "SELECT (slot, sink, organization_id, lane, state, failing_since, attempts, code, reason, next_try_at, paused_by, paused_at, pause_reason) ON walpost.lanes",
    "SELECT (endpoint_id, sink, organization_id, url, event_types, max_per_second, description, state, state_reason, state_changed_at, missed_since, created_at, updated_at) ON walpost.endpoints",
    "SELECT (change_id, endpoint_id, sink, organization_id, change, url, event_types, max_per_second, state, changed_at, changed_xid) ON walpost.endpoint_changes",
    "SELECT (slot, system_identifier, lsn, advanced_at) ON walpost.cursor",
    "EXECUTE ON FUNCTION walpost.event_status, walpost_internal.pending_events, walpost_internal.proven_snapshot, walpost.is_proven, walpost_internal.uuid_or_null, walpost_internal.uuid_time, walpost_internal.url_host, walpost_internal.setting, walpost_internal.claimed_organization, walpost_internal.organization_text, walpost_internal.current_organization, walpost_internal.current_organization_id, walpost_internal.reads_every_event"
  ],
  "walpost_relay": [
    "SELECT ON ALL TABLES IN SCHEMA walpost",
    "INSERT, UPDATE ON walpost.cursor, walpost.jobs, walpost.installation",
    "INSERT, UPDATE, DELETE ON walpost.parked, walpost.dead_letters, walpost.checkpoints, walpost.delivery_log, walpost.lanes, walpost.told_alerts, walpost.endpoint_positions",
    "INSERT, UPDATE, DELETE ON walpost.retry_requests",
    "INSERT ON walpost.canaries",
    "UPDATE (slot) ON walpost.canaries",
    "USAGE ON SEQUENCE walpost.parked_place",
    "SELECT ON SEQUENCE walpost.idempotency_conflicts",
    "EXECUTE ON FUNCTION walpost.add_endpoint, walpost.update_endpoint, walpost.rotate_endpoint_secret, walpost.remove_endpoint, walpost.pause_endpoint, walpost.enable_endpoint, walpost.disable_endpoint, walpost.send_test_event, walpost_internal.endpoints_are_copied, walpost_internal.is_endpoint_lane, walpost_internal.url_host, walpost_internal.adopt_endpoints, walpost_internal.forget_missed, walpost_internal.disable_failing_endpoint, walpost.prune, walpost.leader_lock, walpost.standbys, walpost_internal.take_verify_turn, walpost_internal.send_canary, walpost_internal.remove_canaries, walpost_internal.begin_restamp, walpost_internal.restamp, walpost.event_status, walpost_internal.pending_events, walpost_internal.proven_snapshot, walpost.is_proven, walpost_internal.uuid_or_null, walpost_internal.uuid_time, walpost_internal.setting, walpost_internal.time_text, walpost_internal.captures, walpost_internal.claimed_organization, walpost_internal.organization_text, walpost_internal.current_organization, walpost_internal.current_organization_id, walpost_internal.reads_every_event, walpost.deviations"
  ],
  "walpost_operator": [
    "SELECT ON walpost.outbox, walpost.settings, walpost.event_types, walpost.idempotency_keys, walpost.command_results, walpost.cursor, walpost.checkpoints, walpost.jobs, walpost.parked, walpost.dead_letters, walpost.delivery_log, walpost.lanes, walpost.canaries, walpost.told_alerts, walpost.endpoints, walpost.endpoint_changes, walpost.endpoint_positions, walpost.endpoint_organizations, walpost.endpoint_installation, walpost.redaction_marks, walpost.prune_marks, walpost.pruned_events, walpost.migrations, walpost.repeatables, walpost.migration_turn, walpost.prune_turn, walpost.verify_turn, walpost.installation",
    "SELECT ON walpost.health, walpost.organization_health, walpost.cursor_health, walpost.wal_holders, walpost.alerts, walpost.endpoint_health, walpost.event_timeline, walpost.queue_status, walpost.error_summary, walpost.captures",
    "INSERT, UPDATE ON walpost.jobs",
    "SELECT, INSERT ON walpost.retry_requests",
    "INSERT, UPDATE, DELETE ON walpost.lanes",
    "UPDATE, DELETE ON walpost.parked, walpost.dead_letters",
    "DELETE ON walpost.cursor, walpost.checkpoints, walpost.endpoint_positions, walpost.idempotency_keys, walpost.command_results",
    "INSERT, UPDATE, DELETE ON walpost.settings, walpost.event_types",
    "USAGE ON SEQUENCE walpost.parked_place",
    "SELECT ON SEQUENCE walpost.idempotency_conflicts",
    "EXECUTE ON FUNCTION walpost.add_endpoint, walpost.update_endpoint, walpost.rotate_endpoint_secret, walpost.remove_endpoint, walpost.pause_endpoint, walpost.enable_endpoint, walpost.disable_endpoint, walpost.send_test_event, walpost_internal.endpoints_are_copied, walpost_internal.is_endpoint_lane, walpost_internal.url_host, walpost_internal.adopt_endpoints, walpost_internal.forget_missed, walpost.prune, walpost.leader_lock, walpost.standbys, walpost_internal.take_verify_turn, walpost_internal.send_canary, walpost_internal.remove_canaries, walpost.rotate_emit_key, walpost.event_status, walpost_internal.pending_events, walpost_internal.proven_snapshot, walpost.is_proven, walpost_internal.uuid_or_null, walpost_internal.uuid_time, walpost_internal.setting, walpost_internal.time_text, walpost_internal.captures, walpost_internal.claimed_organization, walpost_internal.organization_text, walpost_internal.current_organization, walpost_internal.current_organization_id, walpost_internal.reads_every_event"
  ]
} $json$::jsonb) AS g;
END;

COMMENT ON FUNCTION walpost_internal.role_grants() IS 'What each role of this installation may do, as parts of GRANT.';
