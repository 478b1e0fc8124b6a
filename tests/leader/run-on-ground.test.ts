import { expect, test } from 'vitest';
import { WalpostError } from '../../src/errors.ts';
import { runOnGround } from '../../src/relay-service.ts';

const signal = (): AbortSignal => new AbortController().signal;
const lost = (): WalpostError => new WalpostError('LEADERSHIP_LOST');

/** Runs until its signal aborts, and then ends as it is told. */
const until = (end: () => Promise<void>) => ({
  run: (stop: AbortSignal) =>
    stop.aborted ? end() : new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(end()))),
});

test('ends with the reason when the ground breaks away, also before the stream has started', async () => {
  const closedEarly = until(() => Promise.reject(new Error('the stream was closed before it started')));
  await expect(runOnGround(closedEarly, { broken: AbortSignal.abort(lost()) }, signal())).rejects.toEqual(lost());

  const breaking = new AbortController();
  const running = runOnGround(
    until(() => Promise.resolve()),
    { broken: breaking.signal },
    signal(),
  );
  breaking.abort(lost());
  await expect(running).rejects.toEqual(lost());
});

test('ends quietly when it is told to stop', async () => {
  const stop = new AbortController();
  const running = runOnGround(
    until(() => Promise.resolve()),
    { broken: signal() },
    stop.signal,
  );
  stop.abort();
  await running;
});

test('looks again when another took the slot in between; other errors stay what they are', async () => {
  const fails = (reason: Error) => ({ run: () => Promise.reject(reason) });
  const taken = runOnGround(fails(new WalpostError('SLOT_IN_USE')), { broken: signal() }, signal());
  await expect(taken).rejects.toMatchObject({ code: 'CONNECTION_LOST', policy: 'retry' });
  const wrong = runOnGround(fails(new WalpostError('PROTOCOL')), { broken: signal() }, signal());
  await expect(wrong).rejects.toMatchObject({ code: 'PROTOCOL' });
});
