/** The mail for an event. Throws a TemplateFailure for an event that gives none: it becomes a dead letter. */
import { createHash } from 'node:crypto';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { replayOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { scopeOf } from '../../template/event-scope.ts';
import type { MailFolder } from '../../template/mail-folder.ts';
import { TemplateFailure } from '../../template/template-failure.ts';
import { addressesAt, addressOf, type MailAddress, type MailAttachment, attachmentsAt } from './mail-values.ts';

const SUBJECT_LENGTH = 500;

export interface Mail {
  /** Names the event, and the replay that an operator has asked for; the same at each try. */
  readonly id: string;
  readonly from: MailAddress;
  readonly to: readonly MailAddress[];
  readonly cc: readonly MailAddress[];
  readonly bcc: readonly MailAddress[];
  readonly replyTo: readonly MailAddress[];
  readonly subject: string;
  readonly text: string | undefined;
  readonly html: string | undefined;
  readonly attachments: readonly MailAttachment[];
}

export function mailOf(event: Event, config: SinkConfigOf<'email'>, folder: MailFolder): Mail {
  const templates = folder.templatesFor(event.eventType);
  if (!templates?.subject) throw new TemplateFailure('there is no template for this type of event, and no default');
  const scope = scopeOf(event);
  const { payload } = scope.fields;
  const at = (path: string | undefined): readonly MailAddress[] =>
    path === undefined ? [] : addressesAt(payload, path);
  const fixed = config.to.includes('@') ? addressOf(config.to) : undefined;
  const to = fixed ? [fixed] : at(config.to);
  if (to.length === 0) throw new TemplateFailure(`the payload has no recipient at ${config.to}`);
  return {
    id: idOf(event),
    from: addressOf(config.from) ?? { name: '', address: config.from },
    to,
    cc: at(config.cc),
    bcc: at(config.bcc),
    replyTo: at(config.reply_to),
    subject: oneLine(templates.subject.render(scope)),
    text: templates.text?.render(scope),
    html: templates.html?.render(scope),
    attachments: config.attachments === undefined ? [] : attachmentsAt(payload, config.attachments),
  };
}

/** The event's id, or a hash of one that a header could not hold. */
function idOf({ eventId, origin }: Event): string {
  const replay = replayOf(origin);
  const id = /^[\w.-]{1,100}$/.test(eventId)
    ? eventId
    : createHash('sha256').update(eventId).digest('hex').slice(0, 32);
  return replay === null ? id : `${id}.${replay}`;
}

function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim()
    .slice(0, SUBJECT_LENGTH)
    .toWellFormed();
}
