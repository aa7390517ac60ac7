/** What a piece of work costs: seconds, processor time here and in Postgres, memory at its highest. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

export interface Cost {
  readonly seconds: number;
  /** Seconds of processor time; of Postgres only where the system tells. */
  readonly ownCpu: number;
  readonly postgresCpu: number | undefined;
  /** Bytes; undefined where the system does not tell. */
  readonly peakMemory: number | undefined;
}

/** `postmaster`: process id of Postgres. */
export async function costOf(postmaster: number | undefined, work: () => Promise<unknown>): Promise<Cost> {
  forgetPeak();
  const postgresBefore = cpuOfPostgres(postmaster);
  const ownBefore = process.cpuUsage();
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(ownBefore);
  const postgresAfter = cpuOfPostgres(postmaster);
  return {
    seconds,
    ownCpu: (user + system) / 1e6,
    postgresCpu:
      postgresBefore === undefined || postgresAfter === undefined
        ? undefined
        : postgresAfter - postgresBefore,
    peakMemory: peak(),
  };
}

const ticksPerSecond = 100;

/** Of the server, its processes, and those that have ended. */
function cpuOfPostgres(postmaster: number | undefined): number | undefined {
  if (postmaster === undefined || process.platform !== 'linux') return undefined;
  let ticks = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const fields = statOf(pid);
    if (!fields) continue;
    const [, parent] = fields;
    const [user, system, endedUser, endedSystem] = fields.slice(11, 15);
    const isServer = Number(pid) === postmaster;
    if (isServer || Number(parent) === postmaster) ticks += Number(user) + Number(system);
    if (isServer) ticks += Number(endedUser) + Number(endedSystem);
  }
  return ticks / ticksPerSecond;
}

/** The fields after the name of the command (which may hold spaces): state, parent, … */
function statOf(pid: string): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function forgetPeak(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // Then the peak is that of the whole run so far.
  }
}

function peak(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return found === undefined ? undefined : Number(found) * 1_024;
}
