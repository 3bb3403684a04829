/* Numbers and times as text. */

export const NONE = "–";

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const compact = new Intl.NumberFormat("en", {
    notation: "compact", maximumFractionDigits: 1});


export function count(value) {
    return value === null || value === undefined ? NONE : whole.format(value);
}


/* For axes and narrow places: 12.3K. */
export function short(value) {
    if (value === null || value === undefined) {
        return NONE;
    }
    return Math.abs(value) < 1000 ? real(value) : compact.format(value);
}


/* A number with as many digits as help. */
export function real(value) {
    if (value === null || value === undefined) {
        return NONE;
    }
    const size = Math.abs(value);
    if (size !== 0 && (size < 0.001 || size >= 1e9)) {
        return value.toPrecision(4);
    }
    return new Intl.NumberFormat("en", {
        maximumFractionDigits: size >= 1000 ? 0 : size >= 10 ? 2 : 3,
    }).format(value);
}


export function percent(part, all) {
    return all > 0 ? (100 * part / all).toFixed(part < all ? 1 : 0) + " %"
        : NONE;
}


export function duration(seconds) {
    if (seconds === null || seconds === undefined) {
        return NONE;
    }
    if (seconds < 1) {
        return `${Math.max(0, Math.round(seconds * 1000))} ms`;
    }
    if (seconds < 100) {
        return `${seconds.toFixed(1)} s`;
    }
    if (seconds < 5400) {
        return `${Math.round(seconds / 60)} min`;
    }
    return seconds < 172800 ? `${Math.round(seconds / 3600)} h`
        : `${Math.round(seconds / 86400)} days`;
}


/* Parts of a time as two-digit texts, in the zone. */
function parts(seconds, zone) {
    const date = new Date(seconds * 1000);
    const get = (name) => zone === "utc" ? date["getUTC" + name]()
        : date["get" + name]();
    const two = (n) => String(n).padStart(2, "0");
    return {
        year: String(get("FullYear")), month: two(get("Month") + 1),
        day: two(get("Date")), hour: two(get("Hours")),
        minute: two(get("Minutes")), second: two(get("Seconds")),
        milli: String(get("Milliseconds")).padStart(3, "0"),
    };
}


export function date(seconds, zone) {
    const p = parts(seconds, zone);
    return `${p.year}-${p.month}-${p.day}`;
}


export function clock(seconds, zone, digits = "second") {
    const p = parts(seconds, zone);
    const text = `${p.hour}:${p.minute}`;
    return digits === "minute" ? text : digits === "second"
        ? `${text}:${p.second}` : `${text}:${p.second}.${p.milli}`;
}


/* A bucket that begins at `start`, as precisely as its width needs. */
export function bucket(start, width, zone) {
    if (width >= 86400) {
        return date(start, zone) + (zone === "utc" ? ""
            : " " + clock(start, zone, "minute"));
    }
    return `${date(start, zone)} `
        + clock(start, zone, width < 60 ? "second" : "minute");
}


/* For and from <input type="datetime-local">. */
export function toInput(seconds, zone) {
    return `${date(seconds, zone)}T${clock(seconds, zone)}`;
}


export function fromInput(text, zone) {
    if (text === "") {
        return null;
    }
    const time = Date.parse(zone === "utc" ? text + "Z" : text);
    return Number.isNaN(time) ? null : time / 1000;
}
