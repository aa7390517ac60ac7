/** One run of the Postgres server: launching it, waiting until it is ready, stopping it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { Account } from './account.ts';
import { program, type Binaries } from './binaries.ts';
import { childEnvironment, runCommand } from './commands.ts';
import { dataArgument, type DataFolder } from './data-folder.ts';
import { errorText, inDataDir } from './errors.ts';
import { readPostmasterFile } from './postmaster-file.ts';
import { limitLog, openLog, readLog } from './server-log.ts';
import { startWatchdog } from './watchdog.ts';

export interface Launch {
  readonly folder: DataFolder;
  readonly binaries: Binaries;
  readonly account: Account;
  readonly settings: Readonly<Record<string, string>>;
  /** The pid in a postmaster.pid that is known to be stale. */
  readonly stalePid: number | undefined;
  readonly log: (line: string) => void;
}

export interface RunningServer {
  readonly pid: number;
  /** Resolves, with how, if the server ends without having been stopped; never otherwise. */
  readonly lost: Promise<string>;
  stop(): Promise<void>;
}

export type LaunchResult =
  | { readonly kind: 'ready'; readonly server: RunningServer }
  /** Somebody else took the port. */
  | { readonly kind: 'port-taken'; readonly said: string }
  /** Somebody else runs on the cluster, or the last processes of a killed server are still going. */
  | { readonly kind: 'cluster-taken'; readonly said: string }
  | { readonly kind: 'failed'; readonly said: string };

/** Long: after a crash Postgres replays up to max_wal_size before it is ready. */
const readyWithinMs = 10 * 60_000;
const stillStartingEveryMs = 10_000;
/** A fast shutdown writes what is dirty; then an immediate one, which costs a recovery at the next start. */
const fastShutdownMs = 60_000;

export async function launch(options: Launch): Promise<LaunchResult> {
  const { folder, account, log } = options;
  const logFile = await inDataDir(folder.path, () => openLog(folder.log));
  const watchdog = startWatchdog(account, log);
  try {
    const logStart = (await logFile.stat()).size;
    const child = spawnServer(options, logFile.fd);
    const ended = endOf(child).then((how) => {
      watchdog.dismiss();
      return how;
    });
    if (child.pid !== undefined) watchdog.guard(child.pid);
    child.unref(); // a caller that forgets stop() still ends, and then the watchdog stops the server

    const outcome = await waitUntilReady(child, ended, options);
    if (outcome !== 'ready') return explain(outcome, await readLog(logFile, logStart));
    return { kind: 'ready', server: running(child, ended, options) };
  } catch (error) {
    watchdog.dismiss();
    throw error;
  } finally {
    await logFile.close();
  }
}

function spawnServer({ folder, binaries, account, settings, stalePid }: Launch, logFd: number): ChildProcess {
  const { path, cwd } = dataArgument(folder.cluster, account, binaries);
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  // Meant for pg_ctl, and the only way to say it: a postmaster.pid with this pid is stale, even if a process with
  // that pid lives. Better than removing the file, which Postgres then checks and replaces with all its other care.
  const ignored: Record<string, string> =
    stalePid === undefined ? {} : { PG_GRANDPARENT_PID: String(stalePid) };
  return spawn(program(binaries.folder, 'postgres'), ['-D', path, ...args], {
    ...account.credentials,
    cwd,
    env: childEnvironment(ignored),
    stdio: ['ignore', logFd, logFd],
    detached: process.platform !== 'win32', // Ctrl+C in a terminal is for us to handle, then Postgres goes
    windowsHide: true,
  });
}

const endOf = (child: ChildProcess): Promise<string> =>
  new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    child.once('error', (error) => resolve(errorText(error)));
  });

/** 'ready', or how the server ended. */
async function waitUntilReady(child: ChildProcess, ended: Promise<string>, options: Launch): Promise<string> {
  const started = Date.now();
  let nextNotice = started + stillStartingEveryMs;
  for (;;) {
    const file = await readPostmasterFile(options.folder.cluster).catch(() => undefined);
    // Its own pid, because the file may be a stale one, or that of a server which won the race for the cluster.
    if (typeof file === 'object' && file.pid === child.pid && file.ready) return 'ready';
    const now = Date.now();
    if (now - started > readyWithinMs) {
      child.kill('SIGQUIT');
      return `not ready after ${readyWithinMs / 60_000} minutes`;
    }
    if (now > nextNotice) {
      nextNotice = now + stillStartingEveryMs;
      options.log(`Postgres is still starting (recovering after a crash?), see ${options.folder.log}`);
    }
    const end = await Promise.race([ended, delay(5)]);
    if (end !== undefined) return end;
  }
}

function explain(outcome: string, logText: string): LaunchResult {
  const said = [outcome, ...logText.trim().split('\n').slice(-8)].join('\n  ');
  if (/lock file "postmaster\.pid"|pre-existing shared memory block/.test(logText))
    return { kind: 'cluster-taken', said };
  if (/could not bind|could not create any TCP\/IP sockets/.test(logText))
    return { kind: 'port-taken', said };
  return { kind: 'failed', said };
}

function running(child: ChildProcess, ended: Promise<string>, options: Launch): RunningServer {
  const unlimitLog = limitLog(options.folder.log);
  let stopping: Promise<void> | undefined;
  const lost = new Promise<string>((resolve) => {
    const onEnd = (how: string): void => {
      unlimitLog();
      if (!stopping) resolve(`Postgres stopped unexpectedly (${how}), see ${options.folder.log}`);
    };
    void ended.then(onEnd);
  });
  return {
    pid: child.pid ?? 0,
    lost,
    stop: () => (stopping ??= stopServer(child, ended, options)),
  };
}

async function stopServer(child: ChildProcess, ended: Promise<string>, options: Launch): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref(); // or Node could end, having nothing else to do, before we know
  if (process.platform === 'win32') await stopWithPgCtl(options);
  else child.kill('SIGINT');
  const patience = new AbortController();
  delay(fastShutdownMs, undefined, { signal: patience.signal }).then(
    () => child.kill('SIGQUIT'),
    () => undefined,
  );
  await ended;
  patience.abort();
}

/** Signals do not reach Postgres on Windows; Node would end it the hard way. Untested. */
async function stopWithPgCtl({ folder, binaries, account }: Launch): Promise<void> {
  const { path, cwd } = dataArgument(folder.cluster, account, binaries);
  const args = ['stop', '-D', path, '-m', 'fast', '-w'];
  await runCommand(program(binaries.folder, 'pg_ctl'), args, { account, cwd, timeoutMs: fastShutdownMs });
}
