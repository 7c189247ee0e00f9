// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.attribute.BasicFileAttributes;

/**
 * A session's state file, which other recommenders, of this process or another, may write too: what
 * was in it when it was last read or written, and what was done in memory since.
 */
final class SharedFile {
    final File path; // null = there is no file
    private String known = ""; // signature of the file when memory and file agreed
    Merging.Changes changes;

    SharedFile(File path, PersonalState state) {
        this.path = path;
        changes = new Merging.Changes(state);
    }

    /** What differs where another state was written in its place; "" = no file. */
    String signature() {
        if (path == null) {
            return "";
        }
        try {
            BasicFileAttributes seen =
                    Files.readAttributes(path.toPath(), BasicFileAttributes.class);
            return seen.fileKey() + " " + seen.size() + " " + seen.lastModifiedTime();
        } catch (IOException error) {
            return "";
        }
    }

    /** Notes that memory and file agree. */
    void agrees(PersonalState state, String signature) {
        known = signature;
        changes = new Merging.Changes(state);
    }

    private PersonalState foreign(Session session) throws StateException {
        return States.load(path, null, session.seal);
    }

    /**
     * Where somebody else has written the file since it was read, takes over what is in it; under
     * the file's lock.
     *
     * @throws StateException it has become another user's
     */
    void takeOthers(Session session) throws PocketRecException {
        String mark = signature();
        if (mark.isEmpty() || mark.equals(known)) {
            return;
        }
        PersonalState other;
        boolean foreign = false;
        try {
            other = States.load(path, session.bundle, session.seal);
        } catch (ForeignStateException error) {
            PersonalState.Change carried =
                    Carrying.over(foreign(session), session.bundle).state.change();
            carried.learnedFrom(changes.base);
            other = carried.made();
            foreign = true;
        } catch (StateException error) { // damaged; it stays as the previous generation
            return;
        }
        if (!other.user.isEmpty() && !other.user.equals(session.user)) {
            throw new StateException(
                    path
                            + " has become the state of user "
                            + other.user
                            + ": name another state file");
        }
        if (session.history.outside()) {
            session.takeLearned(
                    other, Merging.hasTrained(other, changes.base) && !changes.trained && !foreign);
        } else if (other.store.isEmpty()) {
            Double cutOff = session.bundle.manifest.cutOff;
            session.state = Merging.merged(session.state, changes, other, cutOff);
        }
        session.epoch += other.forgotten == changes.base.forgotten ? 0 : 1;
        agrees(session.state, mark);
    }
}
