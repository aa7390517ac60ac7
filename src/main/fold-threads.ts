/** Threads that fold, as worker threads: from outside (`foldThreads`) and from inside (`serveFolds`). */
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { openPool } from '../operations/pool.ts';
import {
  type FoldAnswer,
  type FoldStart,
  type FoldTask,
  foldTasks,
} from '../projections/engine/fold-thread.ts';
import type { ReadModel } from '../projections/engine/read-model.ts';
import type { LineStorage } from '../projections/engine/storage.ts';
import type { FoldThread, FoldThreads } from '../projections/engine/threaded-folder.ts';
import { load } from '../projections/postgres/rows.ts';

interface WorkerData {
  readonly databaseUrl: string;
  readonly start: FoldStart;
}

/** `entry`: a module that calls `serveFolds`. */
export const foldThreads = (
  count: number,
  databaseUrl: string,
  entry = new URL('./fold-worker.js', import.meta.url),
): FoldThreads => ({
  count,
  open: (start) => openThread(entry, { databaseUrl, start }),
});

function openThread(entry: URL, data: WorkerData): FoldThread {
  const worker = new Worker(entry, { workerData: data });
  // A thread that hangs must not keep the process from ending.
  worker.unref();
  const asked: { resolve(answer: FoldAnswer): void; reject(error: Error): void }[] = [];
  let ended: Error | undefined;
  const end = (error: Error): void => {
    ended ??= error;
    for (const { reject } of asked.splice(0)) reject(ended);
  };
  worker.on('message', (answer: FoldAnswer) => asked.shift()?.resolve(answer));
  worker.on('messageerror', end);
  worker.on('error', end);
  worker.on('exit', (code) => end(new Error(`a thread that folds has ended with ${code}`)));
  return {
    fold: (task) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended);
        asked.push({ resolve, reject });
        worker.postMessage(task, []);
      }),
    async close() {
      end(new Error('a thread that folds was closed'));
      await worker.terminate();
    },
  };
}

/** Does what this thread was opened for, until it is closed. */
export function serveFolds(models: readonly ReadModel[]): void {
  // Whoever opens the thread says so.
  const { databaseUrl, start } = workerData as WorkerData;
  const { model: name } = start.generation;
  const model = models.find((one) => one.name === name);
  if (!model || !parentPort) throw new TypeError(`no thread can be opened for ${name}`);
  const port = parentPort;
  // Rows are loaded for one task after the other. What fails is said by the task.
  const pool = openPool(databaseUrl, 1, () => undefined);
  const storage: Pick<LineStorage, 'load'> = { load: (...what) => load(pool, ...what) };
  const fold = foldTasks(model, storage, start);
  let last = Promise.resolve();
  port.on('message', (task: FoldTask) => {
    last = last.then(async () => port.postMessage(await fold(task), []));
  });
}
