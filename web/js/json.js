/*
 * Texts within a text that is JSON.  JSON.parse() makes doubles of numbers,
 * which do not hold every integer of 64 bits: what is to be shown as it is
 * stays text.
 */

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/gs;


/* The texts of an array's elements. */
export function elements(text) {
    return children(text).map(({value}) => value);
}


/* An object's members: [[name, the value's text]]. */
export function members(text) {
    return children(text).map(({name, value}) => [JSON.parse(name), value]);
}


/* The same value, a member or element a line. */
export function indent(text) {
    let depth = 0;
    let before = "";
    let result = "";
    for (const [token] of text.matchAll(TOKEN)) {
        const closes = token === "}" || token === "]";
        depth -= closes ? 1 : 0;
        if (closes ? before !== "{" && before !== "["
            : before === "{" || before === "[" || before === ",")
        {
            result += "\n" + "  ".repeat(depth);
        }
        result += token === ":" ? ": " : token;
        depth += token === "{" || token === "[" ? 1 : 0;
        before = token;
    }
    return result;
}


/* [{name, value}] of an object or an array; an element's name is null. */
function children(text) {
    const found = [];
    let depth = 0;
    let name = null;
    let start = 0;
    let last = null;    /* of the name's or the value's tokens so far */
    for (const {0: token, index} of text.matchAll(TOKEN)) {
        const closes = token === "}" || token === "]";
        if (depth === 1 && (closes || token === ",")) {
            if (last !== null) {
                found.push({name, value: text.slice(start, index).trim()});
            }
            name = null;
            last = null;
            start = index + 1;
        } else if (depth === 1 && token === ":") {
            name = last;
            start = index + 1;
        } else if (depth === 0) {
            start = index + 1;
        } else {
            last = token;
        }
        depth += token === "{" || token === "[" ? 1 : closes ? -1 : 0;
    }
    return found;
}
