/** The server's log file: started anew each time, the one before it kept, and cut when it grows too large. */
import { copyFile, open, rename, stat, truncate, type FileHandle } from 'node:fs/promises';
import { errorCode } from './errors.ts';

const largestBytes = 32 * 1024 * 1024;
const lookEveryMs = 60_000;

const previous = (file: string): string => `${file}.1`;

/** Moves the last run's log aside. */
export async function startNewLog(file: string): Promise<void> {
  await rename(file, previous(file)).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
  });
}

/** For the server to write to, and to read. Appending, so that cutting the file under it leaves no hole. */
export const openLog = (file: string): Promise<FileHandle> => open(file, 'a+', 0o600);

/** Keeps the log of a long run from filling the disk. Returns how to end that. */
export function limitLog(file: string): () => void {
  const timer = setInterval(() => void cut(file).catch(() => undefined), lookEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}

async function cut(file: string): Promise<void> {
  if ((await stat(file)).size <= largestBytes) return;
  await copyFile(file, previous(file));
  await truncate(file);
}

/**
 * What was written since the file had `offset` bytes, at most its last few kilobytes. By the handle: another start at the
 * same moment may have moved the file aside.
 */
export async function readLog(file: FileHandle, offset: number): Promise<string> {
  const { size } = await file.stat();
  const from = Math.max(offset, size - 16 * 1024);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.max(0, size - from)), { position: from });
  return buffer.toString('utf8', 0, bytesRead);
}
