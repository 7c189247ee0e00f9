// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** A value that depends on a number of events: intercept + slope * log(1 + n). */
final class Line {
    final double intercept;
    final double slope;

    Line(double intercept, double slope) {
        this.intercept = intercept;
        this.slope = slope;
    }

    static Line of(Fields fields) {
        return new Line(fields.number("intercept"), fields.number("slope"));
    }

    double at(int events) {
        return intercept + slope * Math.log1p(events);
    }
}
