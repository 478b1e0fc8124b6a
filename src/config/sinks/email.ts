import { z } from 'zod';
import { commonOptions, orderNone } from './common-options.ts';
import { httpOptions } from './http-options.ts';

/** Where Resend is, unless the `url` says otherwise. */
export const RESEND_API = 'https://api.resend.com/';
const PATH = /^payload(?:\.[\w-]+|\[\d+\])+$/;
/** One address, bare or behind a name. */
const FIXED = /^(?:[^<>@\r\n]* <)?[^\s<>@,;]+@[^\s<>@,;]+>?$/;

const path = (what: string) =>
  z
    .string()
    .regex(PATH, 'must be a path in the payload, such as payload.customer.email')
    .optional()
    .describe(`Where the payload has ${what}, such as payload.customer.email.`);

export const email = z
  .strictObject({
    type: z.literal('email'),
    provider: z.enum(['smtp', 'resend']).describe('Who takes the mails.'),
    url: z
      .string()
      .trim()
      .min(1)
      .optional()
      .describe(`smtp://user:password@host:587, or smtps:// for port 465. For Resend: ${RESEND_API} when absent.`)
      .meta({ secret: true }),
    key: z
      .string()
      .trim()
      .min(1)
      .optional()
      .describe('The API key of Resend.')
      .meta({ secret: true, neverBlank: true }),
    from: z
      .string()
      .trim()
      .regex(FIXED, 'must be one address, such as App <no-reply@example.com>')
      .describe('The sender, such as App <no-reply@example.com>.'),
    to: z
      .string()
      .trim()
      .refine((text) => PATH.test(text) || FIXED.test(text), 'must be a path in the payload, or one address')
      .describe('Where the payload has the recipients, such as payload.customer.email, or one address.'),
    reply_to: path('the address for answers'),
    cc: path('further recipients'),
    bcc: path('hidden recipients'),
    attachments: path('a list of { filename, content, content_type }, with the content in base64'),
    templates: z
      .string()
      .min(1)
      .describe('Folder with <event type>.subject.liquid, .text.liquid and .html.liquid; default.* for other types.'),
    batch: z.boolean().default(false).describe('Resend: up to 100 mails a request. A regrouping may repeat mails.'),
    dry_run: z.string().min(1).optional().describe('Folder to which each mail is written as .eml; nothing is sent.'),
    ...httpOptions,
    ...commonOptions({ concurrency: 4 }),
    order: orderNone,
  })
  .meta({
    description: 'Mails by SMTP or Resend.',
    examples: [
      {
        type: 'email',
        provider: 'resend',
        key: 're_1',
        from: 'App <no-reply@example.com>',
        to: 'payload.email',
        templates: 'examples/mails',
      },
    ],
  });
