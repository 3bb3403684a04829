/* The version that all parts carry (semantic versioning). */
#ifndef MILLRACE_VERSION_H
#define MILLRACE_VERSION_H

#define MR_VERSION "0.2.0"

#endif /* MILLRACE_VERSION_H */
