package pocketrec.core;

/** A value that depends on a number of events: intercept + slope * log(1 + n). */
final class Line {
    final double intercept;
    final double slope;

    Line(double intercept, double slope) {
        this.intercept = intercept;
        this.slope = slope;
    }

    static Line of(Table table) throws JsonException {
        Line line = new Line(table.number("intercept", 0.0), table.number("slope", 0.0));
        table.end("a line of the guard");
        return line;
    }

    double at(int events) {
        return intercept + slope * Math.log1p(events);
    }
}
