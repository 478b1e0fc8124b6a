/** Names with several addresses: every one of them is tried, and has the time that the sink allows. */
import { type ChildProcess, spawn } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { guardedConnector } from '../../src/sinks/http/ssrf-guard.ts';
import { closedPort } from '../support/webhook-receiver.ts';

const open: { destroy?: () => void; close?: () => void; kill?: (signal: 'SIGKILL') => void }[] = [];
afterEach(() => {
  for (const { destroy, close, kill } of open.splice(0)) {
    destroy?.();
    close?.();
    kill?.('SIGKILL');
  }
});

/** A listener in a process of its own that accepts nothing until it is told to: its backlog is one connection long. */
const LISTENER = `
  const server = require('node:net').createServer();
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
    require('node:fs').writeSync(1, server.address().port + '\\n');
    require('node:fs').readSync(0, Buffer.alloc(1)); // holds the whole process
  });`;

interface SlowListener {
  readonly port: number;
  accept(): void;
}

async function slowListener(): Promise<SlowListener> {
  const child: ChildProcess = spawn(process.execPath, ['-e', LISTENER], { stdio: ['pipe', 'pipe', 'inherit'] });
  open.push({ kill: (signal) => child.kill(signal) });
  const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer];
  const port = Number(String(line));
  // These fill the backlog: from now on the kernel drops what would begin another handshake.
  for (let n = 0; n < 2; n++) {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    open.push({ destroy: () => socket.destroy() });
    await once(socket, 'connect');
  }
  return { port, accept: () => void child.stdin?.write('x') };
}

/** Resolves when as many of the sockets that are opened from now on have closed, and whoever waits for one has been told. */
function attemptsThatEnd(count: number): Promise<void> {
  return new Promise((resolve) => {
    let ended = 0;
    const onSocket = (message: unknown): void => {
      const { socket } = message as { socket: Socket };
      socket.once('close', () => {
        ended += 1;
        if (ended < count) return;
        unsubscribe('net.client.socket', onSocket);
        setImmediate(resolve);
      });
    };
    subscribe('net.client.socket', onSocket);
  });
}

function connectTo(
  addresses: readonly string[],
  port: number,
  timeout: number,
): Promise<Socket | NodeJS.ErrnoException> {
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  const connector = guardedConnector({
    allowPrivate: true,
    timeout,
    lookup: (_name, _options, back) => back(null, found),
  });
  return new Promise((resolve) => {
    connector({ hostname: 'dual.test', protocol: 'http:', port: String(port) }, (error, socket) => {
      if (socket) open.push({ destroy: () => socket.destroy() });
      resolve(error ?? socket);
    });
  });
}

test('a handshake that takes longer than 250 ms is waited for, although the other address fails at once', async () => {
  const listener = await slowListener();
  // Nobody listens at the others. Their attempts begin after 250 ms and fail; the first one is still under way then.
  const failed = attemptsThatEnd(2).then(() => 'still waiting');
  const connecting = connectTo(['127.0.0.1', '127.0.0.2', '127.0.0.3'], listener.port, 10_000);
  expect(await Promise.race([connecting, failed])).toBe('still waiting');
  listener.accept();
  const socket = await connecting;
  expect(socket).not.toBeInstanceOf(Error);
  expect((socket as Socket).remoteAddress).toBe('127.0.0.1');
});

test('every address is tried, however short the time and however many do not answer', async () => {
  const listener = await slowListener();
  const server = createServer();
  await once(server.listen(listener.port, '127.0.0.9'), 'listening');
  open.push({ close: () => void server.close() });
  const silent = Array.from({ length: 8 }, () => '127.0.0.1');
  const socket = await connectTo([...silent, '127.0.0.9'], (server.address() as AddressInfo).port, 1_000);
  expect(socket).not.toBeInstanceOf(Error);
  expect((socket as Socket).remoteAddress).toBe('127.0.0.9');
});

test('when none accepts, the error is that of a destination that was there', async () => {
  expect(await connectTo(['127.0.0.1', '127.0.0.2'], await closedPort(), 1_000)).toMatchObject({
    code: 'ECONNREFUSED',
  });
});

test('when none answers, it is the time that ran out', async () => {
  const { port } = await slowListener();
  expect(await connectTo(['127.0.0.1'], port, 200)).toMatchObject({ code: 'UND_ERR_CONNECT_TIMEOUT' });
});
