/**
 * What is thought of every setting that a role, a database or a connection string can give to a session.
 *
 * Such a setting must not change what walpost reads, writes, or how long it may take. Each one is pinned, watched, or
 * harmless for a reason that is given. tests/postgres/judged-settings.test.ts compares this with the list of each server
 * version, so that a new one is judged before that version is supported.
 */

/** Sent with the connection, where they win over what the role, the database and the server have. As the server prints them. */
export const PINNED = {
  // how values are written
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  timezone_abbreviations: 'Default',
  client_encoding: 'UTF8',
  bytea_output: 'hex',
  extra_float_digits: '1',
  lc_monetary: 'C',
  lc_numeric: 'C',
  lc_time: 'C',
  quote_all_identifiers: 'off',
  xmlbinary: 'base64',
  xmloption: 'content',
  // how statements are read
  array_nulls: 'on',
  backslash_quote: 'safe_encoding',
  standard_conforming_strings: 'on',
  transform_null_equals: 'off',
  search_path: 'pg_catalog, pg_temp',
  'plpgsql.extra_errors': 'none',
  // whose rights, and which rows
  role: 'none',
  row_security: 'on',
  gin_fuzzy_search_limit: '0',
  'app.current_org_id': '',
  // what a transaction may do
  default_table_access_method: 'heap',
  default_transaction_deferrable: 'off',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  // how long it may take, and when the session ends
  exit_on_error: 'off',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  lock_timeout: '0',
  statement_timeout: '0',
  // what is told to us beside the answer
  client_min_messages: 'notice',
} as const satisfies Readonly<Record<string, string>>;

/** Not every version has them, and a connection that names an unknown setting is refused: set once it is there. */
export const PINNED_IF_KNOWN = {
  transaction_timeout: '0',
  restrict_nonsystem_relation_kind: '',
} as const satisfies Readonly<Record<string, string>>;

/** Only a superuser may set it, so it cannot be pinned: a session with another value is refused. */
export const WATCHED = {
  // replica: no foreign keys, and no triggers, so no notifications
  session_replication_role: ['origin', 'local'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

export const HARMLESS: readonly { readonly why: string; readonly names: readonly string[] }[] = [
  {
    why: 'pinned only where it is off: a stored event must be durable before the slot is confirmed',
    names: ['synchronous_commit'],
  },
  { why: 'walpost sends its own', names: ['application_name'] },
  { why: 'read at the start, in a session of the same role, and obeyed', names: ['wal_sender_timeout'] },
  {
    why: 'belongs to one transaction; nothing of it is left when the session begins',
    names: words('transaction_deferrable transaction_isolation transaction_read_only'),
  },
  {
    why: 'another plan, the same rows',
    names: words(`
      constraint_exclusion cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction debug_parallel_query
      default_statistics_target effective_cache_size enable_async_append enable_bitmapscan enable_distinct_reordering
      enable_gathermerge enable_group_by_reordering enable_hashagg enable_hashjoin enable_incremental_sort
      enable_indexonlyscan enable_indexscan enable_material enable_memoize enable_mergejoin enable_nestloop
      enable_parallel_append enable_parallel_hash enable_partition_pruning enable_partitionwise_aggregate
      enable_partitionwise_join enable_presorted_aggregate enable_self_join_elimination enable_seqscan enable_sort
      enable_tidscan force_parallel_mode from_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size geqo_seed
      geqo_selection_bias geqo_threshold ignore_system_indexes jit jit_above_cost jit_debugging_support jit_dump_bitcode
      jit_expressions jit_inline_above_cost jit_optimize_above_cost jit_profiling_support jit_tuple_deforming
      join_collapse_limit min_parallel_index_scan_size min_parallel_table_scan_size parallel_leader_participation
      parallel_setup_cost parallel_tuple_cost plan_cache_mode random_page_cost recursive_worktable_factor seq_page_cost
      synchronize_seqscans`),
  },
  {
    why: 'memory, disks and workers: slower, or an error that says so',
    names: words(`
      backend_flush_after debug_discard_caches debug_logical_replication_streaming effective_io_concurrency
      file_copy_method hash_mem_multiplier io_combine_limit logical_decoding_work_mem maintenance_io_concurrency
      maintenance_work_mem max_parallel_maintenance_workers max_parallel_workers max_parallel_workers_per_gather
      max_stack_depth temp_buffers temp_file_limit temp_tablespaces work_mem`),
  },
  {
    why: 'how the WAL is written: the same records',
    names: words(`
      commit_delay commit_siblings wal_compression wal_consistency_checking wal_init_zero wal_recycle wal_skip_threshold`),
  },
  {
    why: 'what VACUUM does, which walpost never calls',
    names: words(`
      vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_dirty vacuum_cost_page_hit
      vacuum_cost_page_miss vacuum_failsafe_age vacuum_freeze_min_age vacuum_freeze_table_age
      vacuum_max_eager_freeze_failure_rate vacuum_multixact_failsafe_age vacuum_multixact_freeze_min_age
      vacuum_multixact_freeze_table_age vacuum_truncate`),
  },
  {
    why: "the server's own log and statistics; sessions are found by application_name, which is always there",
    names: words(`
      backtrace_functions compute_query_id debug_pretty_print debug_print_parse debug_print_plan debug_print_rewritten
      log_connections log_disconnections log_duration log_error_verbosity log_executor_stats log_lock_failures
      log_lock_waits log_min_duration_sample log_min_duration_statement log_min_error_statement log_min_messages
      log_parameter_max_length log_parameter_max_length_on_error log_parser_stats log_planner_stats
      log_replication_commands log_statement log_statement_sample_rate log_statement_stats log_temp_files
      log_transaction_sample_rate md5_password_warnings stats_fetch_consistency trace_notify trace_sort track_activities
      track_cost_delay_timing track_counts track_functions track_io_timing track_wal_io_timing update_process_title`),
  },
  { why: 'errors are known by SQLSTATE, never by their words', names: words('lc_messages escape_string_warning') },
  {
    why: 'a lost or slow connection is noticed by walpost itself, and made again',
    names: words(`
      client_connection_check_interval deadlock_timeout post_auth_delay tcp_keepalives_count tcp_keepalives_idle
      tcp_keepalives_interval tcp_user_timeout`),
  },
  {
    why: 'for objects that walpost makes only with `walpost migrate`, where the choice is the owner’s',
    names: words(`
      allow_in_place_tablespaces check_function_bodies createrole_self_grant default_tablespace default_toast_compression
      event_triggers gin_pending_list_limit password_encryption scram_iterations`),
  },
  {
    why: 'for features that walpost does not use',
    names: words('default_text_search_config icu_validation_level lo_compat_privileges'),
  },
  {
    why: 'what an extension, or the author of a function, may load or be warned of',
    names: words(`
      dynamic_library_path extension_control_path local_preload_libraries plpgsql.check_asserts plpgsql.extra_warnings
      plpgsql.print_strict_params plpgsql.variable_conflict session_preload_libraries`),
  },
  {
    why: "a superuser's tools for a damaged server",
    names: words('allow_system_table_mods ignore_checksum_failure zero_damaged_pages'),
  },
];
