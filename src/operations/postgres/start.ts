/**
 * From "we need a Postgres" to one that answers: a server somebody else runs, else our own in the data folder.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { chooseAccount, type Account } from './account.ts';
import { findBinaries, type Binaries } from './binaries.ts';
import { orphanPatienceMs, stillInUse, waitUntilFree } from './cluster-lock.ts';
import { ensureCluster } from './cluster.ts';
import { letPass, openDataFolder, type DataFolder } from './data-folder.ts';
import { ensureDatabase } from './database.ts';
import { errorText, inDataDir } from './errors.ts';
import { externalServer } from './external.ts';
import { freePort } from './free-port.ts';
import { endOrphanedBackends } from './orphaned-backends.ts';
import { startNewLog } from './server-log.ts';
import { launch, type RunningServer } from './server.ts';
import { serverSettings } from './settings.ts';
import { PostgresStartError, type PostgresOptions, type PostgresServer } from './types.ts';

const portAttempts = 10;

export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  if (options.databaseUrl) return externalServer(options.databaseUrl);

  const log = options.log ?? (() => undefined);
  const { folder, account } = await inDataDir(options.dataDir, async () => {
    const opened = await openDataFolder(options.dataDir);
    return { folder: opened, account: await chooseAccount(opened.cluster) };
  });
  const sources = { binDir: options.binDir, packageDir: options.packageDir, cacheDir: options.cacheDir };
  const binaries = await findBinaries(sources, account);
  const password = await inDataDir(folder.path, async () => {
    await letPass(folder, account, binaries);
    return ensureCluster(folder, binaries, account);
  });
  const { server, port } = await launchOnFreePort(folder, binaries, account, options.settings ?? {}, log);
  try {
    const url = await ensureDatabase(port, password);
    const description =
      `Postgres ${binaries.version} started on 127.0.0.1:${port} ` +
      `(process ${server.pid}, account ${account.name}, data in ${folder.cluster})`;
    return { url, description, lost: server.lost, stop: () => server.stop() };
  } catch (error) {
    await server.stop();
    throw new PostgresStartError('START_FAILED', `The database could not be prepared: ${errorText(error)}`, {
      cause: error,
    });
  }
}

async function launchOnFreePort(
  folder: DataFolder,
  binaries: Binaries,
  account: Account,
  settings: Readonly<Record<string, string>>,
  log: (line: string) => void,
): Promise<{ server: RunningServer; port: number }> {
  const deadline = Date.now() + orphanPatienceMs;
  let portsTried = 0;
  let newLog = false;
  for (;;) {
    const stalePid = await inDataDir(folder.path, () => waitUntilFree(folder.cluster, deadline));
    if (!newLog) await inDataDir(folder.path, () => startNewLog(folder.log));
    newLog = true;

    const port = await freePort();
    const all = serverSettings(settings, port);
    const result = await launch({ folder, binaries, account, settings: all, stalePid, log });
    switch (result.kind) {
      case 'ready':
        return { server: result.server, port };
      case 'port-taken':
        portsTried += 1;
        if (portsTried < portAttempts) continue;
        break;
      case 'cluster-taken':
        if (Date.now() > deadline) throw stillInUse(folder.cluster);
        await endOrphanedBackends(folder.cluster);
        await delay(100);
        continue;
      case 'failed':
        break;
    }
    throw new PostgresStartError(
      'START_FAILED',
      `Postgres did not start on ${folder.cluster}: ${result.said}`,
    );
  }
}
