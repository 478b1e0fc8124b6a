/** Which types of events the demo's application writes, and how many of each. */

/** What happens to an order; the type of its event is `order.` and this. */
export type OrderStatus = 'placed' | 'paid' | 'shipped' | 'invoiced' | 'disputed';

export interface EventMix {
  readonly statuses: readonly OrderStatus[];
  readonly draw: (random: () => number) => OrderStatus;
}

export function eventTypeOf(status: OrderStatus): string {
  return `order.${status}`;
}

/** The mix of the demo with one sink. */
export const PLACED_ONLY: EventMix = { statuses: ['placed'], draw: () => 'placed' };

/** Events a second, at most: Slack takes one message a second in a channel, and Resend two mails a second. */
const MOST_INVOICED = 2;
const MOST_DISPUTED = 1;
/** So that a slow demo still writes mostly other types. */
const LARGEST_RARE_SHARE = 0.1;

/**
 * A share for every sink. Mails and messages for people are rare at any rate; the other types share the rest.
 *
 * @param rate committed events a second, of all writers
 */
export function mixForEverySink(rate: number): EventMix {
  const invoiced = Math.min(LARGEST_RARE_SHARE, MOST_INVOICED / rate);
  const disputed = Math.min(LARGEST_RARE_SHARE, MOST_DISPUTED / rate);
  return {
    statuses: ['placed', 'paid', 'shipped', 'invoiced', 'disputed'],
    draw(random) {
      const drawn = random();
      if (drawn < invoiced) return 'invoiced';
      if (drawn < invoiced + disputed) return 'disputed';
      const kind = random();
      if (kind < 0.5) return 'placed';
      return kind < 0.8 ? 'paid' : 'shipped';
    },
  };
}
