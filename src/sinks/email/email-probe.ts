import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import type { Verdict } from '../../pipeline.ts';
import { wayOf } from '../http/way.ts';
import { SmtpCarrier } from './smtp-carrier.ts';

/** For SMTP: connects, logs in and ends the dialogue. */
export async function probeSmtp(config: SinkConfigOf<'email'>): Promise<Verdict> {
  const { allowPrivate, ca } = wayOf(config);
  const url = new URL(config.url ?? '');
  const carrier = new SmtpCarrier({ url, connections: 1, timeout: config.timeout, allowPrivate, ca });
  try {
    return await carrier.verify();
  } finally {
    await carrier.close();
  }
}
