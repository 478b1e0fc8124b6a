/** The sink of mails with a mail server that others wrote and run. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { createEmailSink } from '../../src/sinks/email/email-sink.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { OpenSmtpd, opensmtpdMissing } from '../support/opensmtpd.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const missing = await opensmtpdMissing();

describe.skipIf(missing)(`OpenSMTPD ${missing ?? ''}`, () => {
  test('takes mails, and refuses a recipient of elsewhere', async () => {
    await using server = await OpenSmtpd.start();
    const templates = mkdtempSync(join(tmpdir(), 'walpost-mails-'));
    writeFileSync(join(templates, 'default.subject.liquid'), 'Hello {{ payload.name }}');
    writeFileSync(join(templates, 'default.text.liquid'), 'Hello {{ payload.name }}\n.\nand a line behind a dot');
    const config = sinkSchema.parse({
      type: 'email',
      provider: 'smtp',
      url: `smtp://127.0.0.1:${server.port}`,
      from: 'App <no-reply@example.com>',
      to: 'payload.email',
      templates,
      allow_private: true,
    });
    const sink = await createEmailSink(config as SinkConfigOf<'email'>, contractContext);
    const to = (email: string) => sampleEvent({ payload: JSON.stringify({ email, name: 'Zoë' }) });
    const events = [to('Zoë <nobody@walpost.test>'), to('nobody@elsewhere.test'), to('nobody@walpost.test')];
    const verdicts = await sink.deliver(sampleBatch(events.slice(0, 2)), new AbortController().signal);
    const last = await sink.deliver(sampleBatch(events.slice(2)), new AbortController().signal);
    expect([verdicts, last]).toMatchObject([
      [
        { kind: 'delivered' },
        { kind: 'rejected', code: 'SMTP_550', reason: 'the mail server refused the recipient (550)' },
      ],
      [{ kind: 'delivered' }],
    ]);
    const mails = await server.mails(2);
    expect(new Set(mails.map(({ messageId }) => messageId))).toEqual(
      new Set([events[0], events[2]].map((event) => `<${event?.eventId}@example.com>`)),
    );
    expect(mails[0]).toMatchObject({ subject: 'Hello Zoë', text: 'Hello Zoë\n.\nand a line behind a dot\n' });
    await sink.close();
    rmSync(templates, { recursive: true });
  });
});
