import type { Clock } from '../clock.ts';
import type { ChannelAttempt, TokenFunction } from './channel-source.ts';

const PATIENCE_MS = 30_000;

/** A request of the token function that hangs must not hold up the next attempt: the network may be another one by then. */
export async function askForToken(
  token: TokenFunction,
  { organizationId }: ChannelAttempt,
  { renew, clock }: { readonly renew: boolean; readonly clock: Clock },
): Promise<string> {
  let timer: { cancel(): void } | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = clock.schedule(PATIENCE_MS, () => reject(new Error('the token function has not answered for 30 s')));
  });
  try {
    return await Promise.race([token(organizationId, { renew }), late]);
  } finally {
    timer?.cancel();
  }
}
