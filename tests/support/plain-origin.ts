import type { Origin } from '../../src/event.ts';

/** For tests that settle nothing. */
const NOTHING = (): void => undefined;

/** An origin that counts nothing; by default one of the stream that was seen. */
export function plainOrigin(fields: Partial<Origin> = {}): Origin {
  return {
    commitLsn: 0x16b3748n,
    xid: 777,
    committedAtMicros: 848_498_400_130_000n,
    visible: true,
    receivedAt: 0,
    job: null,
    isSettled: false,
    expect: NOTHING,
    settle: NOTHING,
    ...fields,
  };
}

/** The hook of a decoder whose events settle nothing. */
export function beginPlain(commitLsn: bigint, xid: number, committedAtMicros: bigint): Origin {
  return plainOrigin({ commitLsn, xid, committedAtMicros, visible: false });
}
