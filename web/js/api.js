/* What the page asks of nginx.  Errors are ApiError, with a sentence. */

const DEADLINE = 15000;

/* Milliseconds by which a clock may be wrong without being corrected. */
const TOLERATED = 5000;

let skew = 0;   /* of nginx's clock against this machine's, in ms */


export class ApiError extends Error {

    /* status: of HTTP; 0 when there was no answer. */
    constructor(status, detail, problem) {
        super(detail);
        this.status = status;
        this.problem = problem ?? {};
    }
}


/* UNIX seconds by nginx's clock: ranges that end now are nginx's now. */
export function now() {
    return (Date.now() + skew) / 1000;
}


/*
 * GET path with parameters: {name: value}, where an array repeats the name
 * and null leaves it out.  `read(text)` makes the answer of JSON.
 */
export async function get(path, parameters, signal, read = JSON.parse) {
    const answer = await request(path, parameters, signal);
    const text = await body(answer);
    if (!answer.ok) {
        throw problemOf(answer.status, text);
    }
    try {
        return read(text);
    } catch {
        throw new ApiError(answer.status, `${path} did not answer with JSON`);
    }
}


/*
 * GET a text that no cache keeps, whatever the status is: {status, text}.
 * It tells what time it is for nginx as well.
 */
export async function getText(path) {
    const answer = await request(path);
    const date = Date.parse(answer.headers.get("date"));
    const difference = date + 500 - Date.now();
    if (Math.abs(difference - skew) > TOLERATED) {
        skew = difference;
    }
    return {status: answer.status, text: await body(answer)};
}


export function problemOf(status, text) {
    try {
        const problem = JSON.parse(text);
        return new ApiError(status, String(problem.detail ?? problem.title),
            problem);
    } catch {
        return new ApiError(status, `nginx answered with status ${status}`);
    }
}


export function urlOf(path, parameters) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters ?? {})) {
        for (const one of Array.isArray(value) ? value : [value]) {
            if (one !== null && one !== undefined && one !== "") {
                query.append(name, one);
            }
        }
    }
    const text = query.toString();
    return text ? `${path}?${text}` : path;
}


async function request(path, parameters, signal) {
    const signals = [AbortSignal.timeout(DEADLINE)];
    if (signal) {
        signals.push(signal);
    }
    try {
        return await fetch(urlOf(path, parameters), {
            signal: AbortSignal.any(signals), credentials: "same-origin"});
    } catch (error) {
        throw failure(error);
    }
}


async function body(answer) {
    try {
        return await answer.text();
    } catch (error) {
        throw failure(error);
    }
}


function failure(error) {
    if (error.name === "AbortError") {
        return error;  /* by whoever asked: not an error to be shown */
    }
    return new ApiError(0, error.name === "TimeoutError"
        ? `there was no answer within ${DEADLINE / 1000} s`
        : "nginx does not answer");
}
