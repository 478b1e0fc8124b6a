/** What a job came to, in a sentence and as JSON: how much was sent, and to whom. */
import type { Job } from '../jobs/job.ts';
import type { SentCounts } from '../jobs/scan.ts';

/** `hook 5, other 3` */
export function sentText(sent: SentCounts): string {
  return Object.entries(sent)
    .map(([sink, count]) => `${sink} ${count}`)
    .join(', ');
}

/** ` (hook 5, other 3); 2 match no route`, as far as there is something to say. */
export function outcomeText({ sent, unrouted }: Pick<Job, 'sent' | 'unrouted'>): string {
  const sinks = sentText(sent);
  const none = unrouted === 1 ? '1 matches no route' : `${unrouted} match no route`;
  return `${sinks === '' ? '' : ` (${sinks})`}${unrouted === 0 ? '' : `; ${none}`}`;
}

export function jobJson({ id, kind, state, scanned, settled, sent, unrouted }: Job): object {
  return { id, kind, state, scanned, settled, sent, unrouted };
}
