/** Answers of a sink under test, each wait bounded and each verdict held to the contract. */
import assert from 'node:assert/strict';
import type { Verdict, Verdicts } from '../../pipeline.ts';
import type { SinkEvent } from '../custom-sink.ts';
import type { SinkHarness } from './harness.ts';
import { sampleBatch } from './sample-events.ts';

const KINDS = ['delivered', 'rejected', 'failed', 'unavailable'];
const LONGEST_RETRY_AFTER = 3_600_000;
const MARKED = 'f7d1c0de-payload-mark';

/** A payload whose text no verdict may show. */
export const MARKED_PAYLOAD = `{"note": "${MARKED}"}`;

/** A harness whose waits are bounded: a sink that does not settle fails, and does not hang. */
export class BoundedHarness {
  readonly harness: SinkHarness;
  private readonly longestWait: number;

  /** @param longestWait milliseconds */
  constructor(harness: SinkHarness, longestWait: number) {
    this.harness = harness;
    this.longestWait = longestWait;
  }

  /** One verdict an event. An exception of the sink counts as `unavailable`, as in walpost. */
  async deliver(
    events: readonly SinkEvent[],
    signal: AbortSignal = new AbortController().signal,
  ): Promise<readonly Verdict[]> {
    return checked(await this.within('deliver', this.answer(events, signal)), events, this.harness.secrets);
  }

  private async answer(events: readonly SinkEvent[], signal: AbortSignal): Promise<Verdicts> {
    try {
      return await this.harness.sink.deliver(sampleBatch(events), signal);
    } catch {
      return { kind: 'unavailable', reason: 'it threw' };
    }
  }

  close(): Promise<void> {
    return this.within('close', this.harness.sink.close());
  }

  released(): Promise<void> {
    return this.within('what the sink opened: its release after close', this.harness.released());
  }

  /** Fails with `what` when the promise settles too late or never. */
  async within<T>(what: string, promise: Promise<T>, longest = this.longestWait): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const message = `${what} had not settled after ${longest} ms`;
      timer = setTimeout(() => reject(new assert.AssertionError({ message })), longest);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Each verdict has the form that walpost takes, and shows neither a secret nor the payload. */
function checked(verdicts: Verdicts, events: readonly SinkEvent[], secrets: readonly string[]): readonly Verdict[] {
  const each = Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : events.map(() => verdicts as Verdict);
  assert.equal(each.length, events.length, 'one verdict for all, or one for each');
  for (const verdict of each) {
    assert.ok(KINDS.includes(verdict.kind), `kind is one of ${KINDS.join(', ')}, not ${verdict.kind}`);
    if (verdict.kind !== 'delivered') hasForm(verdict);
    showsNone(JSON.stringify(verdict), secrets, 'a verdict');
    assert.ok(!JSON.stringify(verdict).includes(MARKED), 'a verdict shows the payload');
  }
  return each;
}

function hasForm(verdict: Exclude<Verdict, { readonly kind: 'delivered' }>): void {
  const { reason, answer = '', code } = verdict;
  assert.equal(typeof reason, 'string', `a verdict of the kind ${verdict.kind} has a reason`);
  assert.match(reason, /^[ -~]{1,200}$/, 'a reason is one line of at most 200 printable ASCII characters');
  assert.match(answer, /^[^\p{Cc}]{0,300}$/u, 'an answer is one line of at most 300 characters');
  if (code !== undefined) assert.match(code, /^\w{1,64}$/, 'a code is one word of at most 64 letters, digits and _');
  const wait = 'retryAfter' in verdict ? verdict.retryAfter : undefined;
  if (wait !== undefined)
    assert.ok(wait > 0 && wait <= LONGEST_RETRY_AFTER, 'retryAfter is in milliseconds, at most an hour');
}

/** As it is, as base64, and as part of a URL. */
export function showsNone(text: string, secrets: readonly string[], what: string): void {
  for (const secret of secrets) {
    const forms = [secret, Buffer.from(secret).toString('base64').replace(/=+$/, ''), encodeURIComponent(secret)];
    assert.ok(!forms.some((form) => form !== '' && text.includes(form)), `${what} shows a secret`);
  }
}
