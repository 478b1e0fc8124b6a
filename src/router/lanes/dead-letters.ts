/** On the way to the dead letters: an event counts as held until its letter is durable. */
import type { Event, Poison } from '../../event.ts';
import { type DeadLetter, type DeadLetterOffice, OWN_LANE, type Verdict } from '../../pipeline.ts';
import { footprint, type MemoryBudget } from '../memory-budget.ts';

export interface DeadLetterWriterOptions {
  readonly office: DeadLetterOffice;
  readonly budget: MemoryBudget;
  readonly onStored: (letter: DeadLetter) => void;
}

/** How an event came to an end at a sink. */
export interface Rejection {
  readonly sink: string;
  /** Which lane of its organization. */
  readonly lane: string;
  readonly verdict: Verdict;
  readonly attempts: number;
  /** The lane waits for a person. */
  readonly blocks: boolean;
  /** It was too old to be sent: a failure of nobody. */
  readonly expired?: boolean | undefined;
}

export class DeadLetterWriter {
  private readonly options: DeadLetterWriterOptions;
  private storing = 0;

  constructor(options: DeadLetterWriterOptions) {
    this.options = options;
  }

  /** Letters that are not durable yet. */
  get underWay(): number {
    return this.storing;
  }

  /** An event that a lane gave up; it is held already. */
  rejected(event: Event, { sink, lane, verdict, attempts, blocks, expired }: Rejection, stored: () => void): void {
    const crash = verdict.kind === 'rejected' && verdict.crash === true;
    const told = verdict.kind === 'delivered' ? 'rejected' : crash ? 'crash' : verdict.kind;
    const reason = expired === true ? 'expired' : told;
    const { reason: detail = '', answer } = verdict.kind === 'delivered' ? {} : verdict;
    const named = { sink, ...(lane !== OWN_LANE && { lane }) };
    this.store(
      { item: event, ...named, reason, detail, ...(answer !== undefined && { answer }), attempts, blocks },
      stored,
    );
  }

  unrouted(event: Event): void {
    this.storeUnheld({ item: event, sink: null, reason: 'unrouted', detail: 'no route matches this event' });
  }

  poison(poison: Poison): void {
    this.storeUnheld({ item: poison, sink: null, reason: 'poison', detail: poison.reason });
  }

  private storeUnheld(letter: Pick<DeadLetter, 'item' | 'sink' | 'reason' | 'detail'>): void {
    const { budget } = this.options;
    const { item } = letter;
    const bytes = item.kind === 'event' ? footprint(item) : item.row.length;
    item.origin.expect(1);
    budget.take(bytes);
    this.store({ ...letter, attempts: 0, blocks: false }, () => {
      item.origin.settle();
      budget.give(bytes);
    });
  }

  private store(letter: DeadLetter, stored: () => void): void {
    this.storing += 1;
    this.options.office.store(letter, () => {
      this.storing -= 1;
      stored();
      this.options.onStored(letter);
    });
  }
}
