/**
 * One mail for each event, by SMTP or Resend, or into a folder.
 *
 * An event that gives no mail (no recipient, no template, text that is no address) is `rejected` and stops nothing. With
 * `batch` at Resend the mails of a batch go in groups; those with attachments go alone. Resend takes all or none of a group,
 * so a group that it refuses is sent one by one.
 */
import { RESEND_API } from '../../config/sinks/email.ts';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { WalpostError } from '../../errors.ts';
import type { Event } from '../../event.ts';
import type { AttemptTime, Batch, Sink, Verdict } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { MailFolder } from '../../template/mail-folder.ts';
import { HttpTarget } from '../http/http-target.ts';
import { wayOf } from '../http/way.ts';
import { NO_TIME, type Obstacle, oneByOne } from '../one-by-one.ts';
import { Pacer } from '../pacer.ts';
import { refuseUnsound } from '../refuse-unsound.ts';
import { TemplateFailure } from '../../template/template-failure.ts';
import { mailOf, type Mail } from './mail.ts';
import { ResendCarrier, type EventMail } from './resend-carrier.ts';

/** Two requests a second. */
const RESEND_INTERVAL = 500;
const RESEND_GROUP = 100;

type EmailConfig = SinkConfigOf<'email'>;

export async function createEmailSink(config: EmailConfig, context: SinkContext): Promise<Sink> {
  refuseUnsound(config, context);
  const folder = MailFolder.read(config.templates);
  if (typeof folder === 'string') {
    throw new WalpostError('CONFIG_INVALID', { detail: `sinks.${context.name}.templates: ${folder}.` });
  }
  const compose = (event: Event): Mail | Verdict => {
    try {
      return mailOf(event, config, folder);
    } catch (error) {
      if (!(error instanceof TemplateFailure)) throw error;
      const reason = /^(?:the|there|what|an) /.test(error.message) ? error.message : `the template ${error.message}`;
      return { kind: error.isSlow ? 'failed' : 'rejected', reason: `no mail: ${reason}`, code: 'NO_MAIL' };
    }
  };
  if (config.provider === 'resend' && config.dry_run === undefined) return resendSink(config, context, compose);
  const carrier = await carrierOf(config);
  const send = (event: Event, signal: AbortSignal): Promise<Verdict> => {
    const mail = compose(event);
    if ('kind' in mail) return Promise.resolve(mail);
    return carrier.send(mail, { events: [event], body: event.payload }, signal);
  };
  return {
    deliver: ({ events }, signal, time) =>
      signal.aborted
        ? Promise.resolve(events.map(() => NO_TIME))
        : oneByOne(events, { time, send: (event) => send(event, signal), behind }),
    close: () => carrier.close(),
  };
}

/** Imports nodemailer, which the user installs. */
async function carrierOf(config: EmailConfig) {
  if (config.dry_run !== undefined) return new (await import('./folder-carrier.ts')).FolderCarrier(config.dry_run);
  const { SmtpCarrier } = await import('./smtp-carrier.ts');
  const { allowPrivate, ca } = wayOf(config);
  const url = new URL(config.url ?? '');
  return new SmtpCarrier({ url, connections: config.concurrency, timeout: config.timeout, allowPrivate, ca });
}

function resendSink(config: EmailConfig, context: SinkContext, compose: (event: Event) => Mail | Verdict): Sink {
  const { url = RESEND_API, key = '' } = config;
  const target = new HttpTarget({
    url,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    connections: config.concurrency,
    timeout: config.timeout,
    ...wayOf(config),
    secrets: [key],
    secretPath: false,
    clock: context.clock,
  });
  const carrier = new ResendCarrier(target, new URL(url).pathname.replace(/\/*$/, '/'), context.name);
  const pacer = new Pacer(context.clock, RESEND_INTERVAL);

  async function paced(
    signal: AbortSignal,
    time: AttemptTime | undefined,
    send: () => Promise<Verdict>,
  ): Promise<Verdict> {
    if (!(await pacer.turn('', signal)) || time?.beginRequest() === false) return NO_TIME;
    const verdict = await send();
    if (verdict.kind === 'unavailable' && verdict.retryAfter !== undefined) pacer.hold('', verdict.retryAfter);
    return verdict;
  }

  const alone = (events: readonly Event[], signal: AbortSignal, time: AttemptTime | undefined): Promise<Verdict[]> =>
    oneByOne(events, {
      time,
      send: async (event) => {
        const mail = compose(event);
        return 'kind' in mail ? mail : paced(signal, time, () => carrier.send({ event, mail }, signal));
      },
      behind,
    });

  const grouped = async ({ events, job }: Batch, signal: AbortSignal, time: AttemptTime | undefined) => {
    const verdicts: Verdict[] = [];
    for (const group of groupsOf(events.map((event) => ({ event, made: compose(event) })))) {
      const members = group.map(({ event }) => event);
      const mails = group.flatMap(({ event, made }): EventMail[] => ('kind' in made ? [] : [{ event, mail: made }]));
      const obstacle = verdicts.find((verdict): verdict is Obstacle =>
        ['failed', 'unavailable'].includes(verdict.kind),
      );
      if (obstacle) verdicts.push(...members.map(() => behind(obstacle)));
      else if (mails.length < 2) verdicts.push(...(await alone(members, signal, time)));
      else {
        const verdict = await paced(signal, time, () => carrier.sendAll(mails, job, signal));
        const isAboutOne = verdict.kind === 'failed' || verdict.kind === 'rejected';
        verdicts.push(...(isAboutOne ? await alone(members, signal, time) : members.map(() => verdict)));
      }
    }
    return verdicts;
  };

  return {
    deliver: (batch, signal, time) => (config.batch ? grouped(batch, signal, time) : alone(batch.events, signal, time)),
    close: () => carrier.close(),
  };
}

interface Made {
  readonly event: Event;
  readonly made: Mail | Verdict;
}

/** Runs of mails that may go together; a mail with attachments, and an event without a mail, is a group of its own. */
function groupsOf(list: readonly Made[]): Made[][] {
  const groups: Made[][] = [];
  let open: Made[] | undefined;
  for (const item of list) {
    const isPlain = !('kind' in item.made) && item.made.attachments.length === 0;
    if (isPlain && open && open.length < RESEND_GROUP) open.push(item);
    else {
      groups.push([item]);
      open = isPlain ? groups.at(-1) : undefined;
    }
  }
  return groups;
}

/** As long as the event before it waits, there is no use in asking for the next one. */
function behind(obstacle: Obstacle): Verdict {
  if (obstacle.kind === 'unavailable' && obstacle.unsent) return NO_TIME;
  const verdict: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };
  return obstacle.retryAfter === undefined ? verdict : { ...verdict, retryAfter: obstacle.retryAfter };
}
