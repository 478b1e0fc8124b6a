/** Which section of docs/runbook.md is about an alert; the headings are the names of the rules for Prometheus. */
const SECTIONS: Readonly<Record<string, string>> = {
  undelivered: 'walpostundelivered',
  waiting: 'walpostwaiting',
  oldest_undelivered: 'walpostoldestundelivered',
  average_delivery: 'walpostdeliveryslow',
  average_delivery_critical: 'walpostdeliveryveryslow',
  dead_letters: 'walpostdeadletters',
  failing_organizations: 'walpostfailingorganizations',
  refusing_organizations: 'walpostlanesblocked',
  blocked_organizations: 'walpostlanesblocked',
  breaker_open: 'walpostbreakeropen',
  failing_endpoints: 'walpostfailingendpoints',
  endpoints_silent: 'walpostfailingendpoints',
  no_progress: 'walpostnoprogress',
  held_by_lane: 'walpostnoprogress',
  slot_unreserved: 'walpostslotunreserved',
  slot_lost: 'walpostslotlost',
  slot_missing: 'walpostslotlost',
  slot_other_database: 'walpostslotlost',
  wal_budget: 'walpostwalbudget',
  slot_inactive: 'walpostnoleader',
  no_relay: 'walpostnoleader',
  two_streams: 'walposttwoleaders',
  leader_lock_taken: 'walpoststartrefused',
  stalled: 'walpoststalled',
  no_replication_role: 'no_replication_role',
  held_by_standby: 'standby-of-the-server',
  held_by_transaction: 'old-transactions',
  held_by_prepared_transaction: 'old-transactions',
  held_by_slot: 'slots-of-others',
};

/** With its anchor; the whole page for an alert that a newer release has brought. */
export function runbookSection(alert: string): string {
  const section = SECTIONS[alert];
  return section === undefined ? 'docs/runbook.md' : `docs/runbook.md#${section}`;
}
