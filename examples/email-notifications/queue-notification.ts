import { publish, type Transaction, withOrganization } from '@walpost/client';

/** The organization of an installation without tenants, as in schema.sql. */
const ORGANIZATION = '00000000-0000-4000-8000-000000000001';

/** What the templates of each mail show: mails/<kind>.*.liquid. */
export interface MailData {
  'magic_link.requested': { readonly link: string };
  'booking.confirmed': {
    readonly booking: string;
    readonly guest: string;
    readonly room: string;
    readonly arrival: string;
    readonly nights: number;
  };
}

export interface QueueOptions {
  /** A mail with a known key is not queued again. */
  readonly idempotencyKey?: string;
  /** From then on it is not sent. */
  readonly expiresAt?: Date;
}

/** `app.queue_notification` of schema.sql in TypeScript: queues a mail in the transaction of the caller, and returns its id. */
export async function queueNotification<Kind extends keyof MailData>(
  tx: Transaction,
  kind: Kind,
  mail: MailData[Kind] & { readonly email: string },
  options: QueueOptions = {},
): Promise<string> {
  await withOrganization(tx, ORGANIZATION);
  return publish(tx, { organizationId: ORGANIZATION, eventType: kind, topic: 'mail', payload: mail, ...options });
}
