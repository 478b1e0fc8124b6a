/**
 * The application: the page, and what the page asks for. Whoever asks for organization 1 is taken for one of its people; in
 * your application the session says who it is.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';
import { SignJWT } from 'jose';
import { approveJob, changeAll, createJob, readJobs } from './jobs.ts';

const { env } = process;
const SUPABASE_URL = env['SUPABASE_URL'] ?? '';
const TOKEN_SECONDS = 300;

const { outputFiles } = await build({
  entryPoints: [join(import.meta.dirname, 'page/page.ts')],
  bundle: true,
  minify: true,
  format: 'esm',
  write: false,
});
const script = outputFiles[0]?.text ?? '';
const html = await readFile(join(import.meta.dirname, 'page/index.html'), 'utf8');

/** Where the page of an organization finds its channel. */
function channelOf(organizationId: string): object {
  if (SUPABASE_URL === '') return { organizationId, url: `http://127.0.0.1:${env['LIVE_PORT']}/live` };
  const url = `${SUPABASE_URL.replace(/^http/, 'ws')}/realtime/v1`;
  return { organizationId, supabase: { url, key: env['SUPABASE_ANON_KEY'] ?? '' } };
}

/** For the live channel, and for policies of Supabase that read the same claim: SUPABASE_JWT_SECRET signs it there. */
function tokenOf(organizationId: string): Promise<string> {
  const secret = SUPABASE_URL === '' ? env['WEBHOOK_SECRET'] : env['SUPABASE_JWT_SECRET'];
  return new SignJWT({ organization_id: organizationId, role: 'authenticated' })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime(`${TOKEN_SECONDS}s`)
    .sign(new TextEncoder().encode(secret));
}

async function answer(request: IncomingMessage, url: URL): Promise<unknown> {
  const number = url.searchParams.get('organization') === '2' ? 2 : 1;
  const organizationId = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /channel':
      return channelOf(organizationId);
    case 'GET /token':
      return { token: await tokenOf(organizationId) };
    case 'GET /jobs':
      return readJobs(organizationId);
    case 'POST /jobs':
      return createJob(organizationId, await text(request));
    case 'POST /change-all':
      return changeAll(organizationId);
    case 'POST /approve':
      return approveJob(organizationId, await text(request), String(request.headers['idempotency-key']));
    default:
      return undefined;
  }
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1');
  if (url.pathname === '/') return void response.setHeader('content-type', 'text/html; charset=utf-8').end(html);
  if (url.pathname === '/page.js') return void response.setHeader('content-type', 'text/javascript').end(script);
  const body = JSON.stringify((await answer(request, url)) ?? null);
  response.setHeader('content-type', 'application/json').end(body);
}

createServer((request, response) => {
  serve(request, response).catch((error: unknown) => {
    console.log(error);
    response.writeHead(500).end();
  });
}).listen(Number(env['WEB_PORT']), '127.0.0.1');
