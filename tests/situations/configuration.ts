/** The walpost.yaml of every scene; what else a scene needs is in its `--set`. */

export function configuration(receiver: number, port: number): string {
  return `database: { url: '\${DATABASE_URL}' }
sinks:
  crm:
    type: webhook
    url: 'http://127.0.0.1:${receiver}/hook'
    secret: '\${CRM_SECRET}'
    allow_private: true
routes:
  - { match: {}, to: [crm] }
http: { port: ${port} }
# Shorter than the defaults, so that a scene takes seconds.
source: { checkpoint_interval: 1s }
delivery:
  park_after: 500ms
  quick_retries: 1
  backoff: [100ms]
  breaker: { minimum_organizations: 2, reset_after: 1s }
`;
}
