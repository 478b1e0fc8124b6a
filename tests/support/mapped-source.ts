/** The section source of an outbox of the application: shop.outbox (id, org, kind, body), published by `shop`. */
const COLUMNS = {
  event_id: 'id',
  organization_id: 'org',
  event_type: 'kind',
  payload: 'body',
  topic: null,
  event_version: null,
  entity_type: null,
  entity_id: null,
  target: null,
  idempotency_key: null,
  headers: null,
  created_at: null,
};

/** `columns`: what the table has beside the four. */
export function mappedSource(columns: Partial<Record<keyof typeof COLUMNS, string>> = {}) {
  return { table: 'shop.outbox', publication: 'shop', columns: { ...COLUMNS, ...columns } };
}
