/** The server that another process runs on a data folder, for tools that work beside it. */
import { openDataFolder } from './data-folder.ts';
import { databaseUrl } from './database.ts';
import { findLivePostmaster } from './live-postmaster.ts';
import { readPostmasterFile } from './postmaster-file.ts';
import { readSecret } from './secret.ts';
import type { PostgresServer } from './types.ts';

/** Undefined when none runs, or it is not ready; stopping what is returned leaves the server alone. */
export async function joinRunningPostgres(dataDir: string): Promise<PostgresServer | undefined> {
  const folder = await openDataFolder(dataDir);
  const file = await readPostmasterFile(folder.cluster);
  if (file === undefined || file === 'empty' || !file.ready) return undefined;
  const [live, secret] = [
    await findLivePostmaster(file.pid, folder.cluster),
    await readSecret(folder.secret),
  ];
  if (!live || secret === undefined) return undefined;
  return {
    url: databaseUrl(file.port, secret),
    description: `Postgres on 127.0.0.1:${file.port} (run by another instance, data in ${folder.cluster})`,
    lost: new Promise(() => undefined),
    stop: () => Promise.resolve(),
  };
}
