import type { Mail } from './mail.ts';

/** The mail as nodemailer takes it. The Message-ID follows from the event, so a mail that comes twice can be recognized. */
export function messageOf({ id, from, to, cc, bcc, replyTo, subject, text, html, attachments }: Mail) {
  return {
    messageId: `<${id}@${from.address.slice(from.address.lastIndexOf('@') + 1)}>`,
    from,
    to: [...to],
    cc: [...cc],
    bcc: [...bcc],
    ...(replyTo.length > 0 && { replyTo: [...replyTo] }),
    subject,
    ...(text !== undefined && { text }),
    ...(html !== undefined && { html }),
    attachments: attachments.map(({ filename, content, contentType }) => ({
      filename,
      content: Buffer.from(content, 'base64'),
      ...(contentType !== undefined && { contentType }),
    })),
  };
}
