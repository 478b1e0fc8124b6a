import { expect, test } from 'vitest';
import { WalpostError } from '../../src/errors.ts';
import { runDuringTerm } from '../../src/relay/relay.ts';

const signal = (): AbortSignal => new AbortController().signal;
const lost = (): WalpostError => new WalpostError('LEADERSHIP_LOST');

/** Runs until its signal aborts, and then ends as it is told. */
const until = (end: () => Promise<void>) => ({
  run: (stop: AbortSignal) =>
    stop.aborted ? end() : new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(end()))),
});

test('ends with the reason when the term breaks away, also before the stream has started', async () => {
  const closedEarly = until(() => Promise.reject(new Error('the stream was closed before it started')));
  await expect(runDuringTerm(closedEarly, { revoked: AbortSignal.abort(lost()) }, signal())).rejects.toEqual(lost());

  const breaking = new AbortController();
  const running = runDuringTerm(
    until(() => Promise.resolve()),
    { revoked: breaking.signal },
    signal(),
  );
  breaking.abort(lost());
  await expect(running).rejects.toEqual(lost());
});

test('ends quietly when it is told to stop', async () => {
  const stop = new AbortController();
  const running = runDuringTerm(
    until(() => Promise.resolve()),
    { revoked: signal() },
    stop.signal,
  );
  stop.abort();
  await running;
});

test('looks again when another took the slot in between; other errors stay what they are', async () => {
  const fails = (reason: Error) => ({ run: () => Promise.reject(reason) });
  const taken = runDuringTerm(fails(new WalpostError('SLOT_IN_USE')), { revoked: signal() }, signal());
  await expect(taken).rejects.toMatchObject({ code: 'CONNECTION_LOST', policy: 'retry' });
  const wrong = runDuringTerm(fails(new WalpostError('PROTOCOL')), { revoked: signal() }, signal());
  await expect(wrong).rejects.toMatchObject({ code: 'PROTOCOL' });
});
