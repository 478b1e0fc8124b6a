/**
 * Tickets: what an EventSource puts into its URL, since it can send no header.
 *
 * A ticket opens one stream, within 30 seconds, and says what its token said. It is of use to nobody later, so it does no harm in a log
 * of a proxy. Only the hash of each is kept: how long a look-up takes says nothing about a ticket.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { LiveClaims } from './live-tokens.ts';

export const TICKET_SECONDS = 30;

interface Issued {
  readonly claims: LiveClaims;
  readonly until: number;
}

export class LiveTickets {
  private readonly clock: Clock;
  private readonly limit: number;
  private readonly issued = new Map<string, Issued>();
  private readonly counts = new Map<string, number>();

  /** @param limit of tickets of one organization that are not used yet */
  constructor(clock: Clock, limit: number) {
    this.clock = clock;
    this.limit = limit;
  }

  /** Undefined when the organization has too many that are not used. */
  issue(claims: LiveClaims): string | undefined {
    this.dropExpired();
    const count = this.counts.get(claims.organizationId) ?? 0;
    if (count >= this.limit) return undefined;
    const ticket = randomBytes(24).toString('base64url');
    this.counts.set(claims.organizationId, count + 1);
    this.issued.set(keyOf(ticket), { claims, until: this.clock.now() + TICKET_SECONDS * 1000 });
    return ticket;
  }

  /** Undefined when it is unknown, used or too old. */
  use(ticket: string): LiveClaims | undefined {
    this.dropExpired();
    const key = keyOf(ticket);
    const found = this.issued.get(key);
    if (found) this.remove(key, found);
    return found?.claims;
  }

  /** They all live for the same time, so the oldest come first. */
  private dropExpired(): void {
    const now = this.clock.now();
    for (const [key, issued] of this.issued) {
      if (issued.until > now) return;
      this.remove(key, issued);
    }
  }

  private remove(key: string, { claims: { organizationId } }: Issued): void {
    this.issued.delete(key);
    const count = (this.counts.get(organizationId) ?? 1) - 1;
    if (count > 0) this.counts.set(organizationId, count);
    else this.counts.delete(organizationId);
  }
}

function keyOf(ticket: string): string {
  return createHash('sha256').update(ticket).digest('base64');
}
