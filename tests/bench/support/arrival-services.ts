/** The destinations of `bench:sink-latency` that are services: HTTP, mail and the live channel. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LIVE_SECRET, liveToken } from '../../support/live-reader.ts';
import { MailServer } from '../../support/mail-server.ts';
import { RealtimeFake } from '../../support/realtime-fake.ts';
import { requestBody } from '../../support/request-body.ts';
import { ResendFake } from '../../support/resend-fake.ts';
import { SlackFake } from '../../support/slack-fake.ts';
import { type ArrivalDestination, follow, ORGANIZATIONS, type Seen } from './arrival.ts';

export async function openWebhook(seen: Seen): Promise<ArrivalDestination> {
  const server = createServer((request, response) => {
    void requestBody(request).then((body) => {
      if (body !== null) seen(body.toString('latin1'));
      response.writeHead(204).end();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    sink: { type: 'webhook', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, allow_private: true },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Of the channels each takes a message a second, so there is one for each organization. */
export async function openSlack(seen: Seen): Promise<ArrivalDestination> {
  const fake = await SlackFake.start(ORGANIZATIONS);
  follow(
    fake.bodies,
    (count) => fake.received(count),
    (body) => seen(body.toString()),
  );
  return {
    sink: {
      type: 'slack',
      url: `${fake.origin}/api/`,
      token: SlackFake.token,
      channel: '{organization_id}',
      allow_private: true,
    },
    most: 1,
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

export async function openRealtime(seen: Seen): Promise<ArrivalDestination> {
  const key = 'the-key-of-the-benchmark';
  const fake = await RealtimeFake.start({ keys: { [key]: { read: () => true, write: () => true } } });
  follow(
    fake.requests,
    (count) => fake.received(count),
    ({ body }) => seen(body.toString()),
  );
  return {
    sink: { type: 'realtime', url: fake.url, key, allow_private: true },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

function mailTemplates(): { readonly templates: string; readonly remove: () => void } {
  const templates = mkdtempSync(join(tmpdir(), 'walpost-mails-'));
  writeFileSync(join(templates, 'default.subject.liquid'), '{{ payload.mark }}');
  writeFileSync(join(templates, 'default.text.liquid'), 'It is done.');
  return { templates, remove: () => rmSync(templates, { recursive: true }) };
}

const MAIL = { type: 'email', from: 'App <no-reply@example.com>', to: 'payload.email', allow_private: true };

export async function openSmtp(seen: Seen): Promise<ArrivalDestination> {
  const { templates, remove } = mailTemplates();
  const server = await MailServer.start();
  follow(
    server.mails,
    (count) => server.asked(count),
    ({ raw }) => seen(raw.toString('latin1')),
  );
  return {
    sink: { ...MAIL, provider: 'smtp', url: `smtp://127.0.0.1:${server.port}`, templates },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      remove();
    },
  };
}

export async function openResend(seen: Seen): Promise<ArrivalDestination> {
  const { templates, remove } = mailTemplates();
  const fake = await ResendFake.start();
  follow(
    fake.requests,
    (count) => fake.received(count),
    ({ mails }) => seen(JSON.stringify(mails)),
  );
  return {
    sink: { ...MAIL, provider: 'resend', url: fake.url, key: ResendFake.key, templates },
    most: 1,
    async [Symbol.asyncDispose]() {
      await fake[Symbol.asyncDispose]();
      remove();
    },
  };
}

/** A reader of each organization. */
export async function openLive(seen: Seen): Promise<ArrivalDestination> {
  const listen: NonNullable<ArrivalDestination['listen']> = async (walpost) => {
    const [, port] = await walpost.prints(/"port":(\d+),"msg":"the live channel listens/);
    const sockets = await Promise.all(
      ORGANIZATIONS.map(async (organization) => {
        const token = await liveToken({ organization });
        const socket = connect(Number(port), '127.0.0.1').setNoDelay(true).setEncoding('latin1');
        socket.on('error', () => undefined);
        socket.write(`GET /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
        await new Promise<void>((resolve) => {
          socket.on('data', (part) => {
            const text = String(part);
            seen(text); // one message is one write
            if (text.includes('walpost.live')) resolve();
          });
        });
        return socket;
      }),
    );
    return () => sockets.forEach((socket) => socket.destroy());
  };
  return {
    sink: { type: 'live' },
    config: { live: { port: 0, secret: LIVE_SECRET } },
    listen,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
