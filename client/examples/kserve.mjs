// @ts-check
/**
 * Searches over HTTP with nothing but fetch (Node 18 or newer): KServe v2 with JSON.
 *
 *     node client/examples/kserve.mjs "half gallon milk" 900 '{"k": 3}' http://127.0.0.1:8000
 *
 * The types are TypeScript's, written as comments: `tsc --allowJs --checkJs --noEmit` checks the file as it is.
 *
 * @typedef {{ name: string, datatype: "BYTES" | "FP32", shape: number[], data: (string | number)[] }} Tensor
 * @typedef {{ outputs: Tensor[] }} InferResponse
 * @typedef {{ k?: number, filter?: Record<string, unknown>, explain?: boolean, [option: string]: unknown }} Options
 * @typedef {{ id: string, score: number, fields: Record<string, unknown> }} Item
 * @typedef {{ bundle: string, degraded: string[], microseconds: Record<string, number> }} Status
 */
import { pathToFileURL } from "node:url";

/**
 * Asks a model of the graph for one row.
 *
 * @param {string} url Triton's HTTP address.
 * @param {string} model `search`, `similar`, `suggest`, `record`, `profile` or `catalog`.
 * @param {Record<string, string>} inputs Each is BYTES [1, 1].
 * @returns {Promise<Record<string, (string | number)[]>>} The data of each output.
 * @throws {Error} With the server's words: the field, what it held and what is allowed.
 */
export async function infer(url, model, inputs) {
  const tensors = Object.entries(inputs).map(([name, value]) => ({ name, datatype: "BYTES", shape: [1, 1], data: [value] }));
  const response = await fetch(`${url}/v2/models/${model}/infer`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ inputs: tensors }),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${text}`);
  const { outputs } = /** @type {InferResponse} */ (JSON.parse(text));
  return Object.fromEntries(outputs.map(({ name, data }) => [name, data]));
}

/**
 * Ranks items for a query, a user, or both.
 *
 * @param {string} url
 * @param {string} query Empty for a recommendation.
 * @param {string} user Empty for a search without one.
 * @param {Options} options Left out ones take the server's defaults.
 * @returns {Promise<{ items: Item[], status: Status }>} Items, best first.
 */
export async function search(url, query, user = "", options = {}) {
  const output = await infer(url, "search", { QUERY: query, USER_ID: user, OPTIONS: JSON.stringify(options) });
  const items = output.ITEM_ID.map((id, place) => ({
    id: String(id),
    score: Number(output.SCORE[place]),
    ...JSON.parse(String(output.ITEM[place])),
  }));
  return { items, status: JSON.parse(String(output.STATUS[0])) };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [query = "", user = "", options = "{}", url = "http://127.0.0.1:8000"] = process.argv.slice(2);
  try {
    const { items, status } = await search(url, query, user, JSON.parse(options));
    for (const line of [...items, { status }]) console.log(JSON.stringify(line));
  } catch (error) {
    console.error(String(error));
    process.exitCode = 1;
  }
}
