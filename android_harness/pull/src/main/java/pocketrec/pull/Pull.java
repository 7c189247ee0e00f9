// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.Contract;
import pocketrec.core.Bundle;
import pocketrec.core.BundleException;
import pocketrec.core.ConfigException;
import pocketrec.core.FetchException;
import pocketrec.core.FileLock;
import pocketrec.core.PocketRecException;
import pocketrec.core.StorageException;

import java.io.File;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * Fetching a published bundle into a folder of versions, and switching to it in one step. The
 * rules, the folder and the files are those of device/delivery/pull.py.
 *
 * <p>latest.json first, checked against the pinned keys; then the manifest that it names; then
 * every file of the manifest that is not here already, and of the candidates only the users' own
 * shards: the server learns the number of a shard, and never a user. Each file is checked against
 * its SHA-256, the whole bundle is opened, and only then do pin.json and current.json, in this
 * order, name the new version.
 */
public final class Pull {
    private Pull() {}

    /**
     * Brings the latest published bundle into a folder of versions; {@link Versions#resolve} tells
     * which is in use. Whatever is thrown, the version in use is as it was. A thread that is
     * interrupted ends the pull with a {@link FetchException}; the next one continues.
     *
     * @param url address of the folder that {@code pocketrec publish} wrote, http or https, with
     *     {@code user:password@} where the server asks for them; "" = the one that was pulled from
     *     before
     * @param folder the folder of versions; made where it is missing
     * @throws FetchException the server cannot be reached, or what it offers is not to be trusted,
     *     or too large
     * @throws BundleException what was fetched is not a bundle that this version reads; or what
     *     tells which key is pinned is damaged or lost, and no key is given
     * @throws StorageException the disk is full, or the folder cannot be written
     * @throws ConfigException the address or the key is wrong
     */
    public static Pulled pull(String url, File folder, PullOptions options)
            throws PocketRecException {
        if (new File(folder, Contract.MANIFEST_FILE).exists()) {
            throw new ConfigException(folder + " is a bundle itself: name another folder");
        }
        try (FileLock lock = Versions.locked(folder)) {
            Current known = null;
            try {
                known = Current.read(folder);
            } catch (BundleException error) {
                if (url.isEmpty()) {
                    throw error;
                }
            }
            Pin held = held(folder, known, options.key());
            known = known == null ? new Current() : known;
            Pin pin = held;
            if (options.key() != null) {
                boolean none = options.key().equals(Pin.NONE);
                pin = held.given(none ? Pin.NONE : Keys.read(options.key()));
            }
            Current wanted = settled(known, url, options);
            if (!pin.equals(held) || !wanted.users.equals(known.users)) {
                wanted.etag = "";
            }
            Address address = Address.of(wanted.url);
            String base = address.plain().replaceAll("/+$", "") + "/";
            Fetcher fetcher =
                    new Fetcher(options.patience(), options.source(), address.authorization());
            return new Update(folder, known, wanted, held, pin, base, fetcher).run(options);
        }
    }

    /**
     * Goes back to the version before the one in use, which is then not installed again.
     *
     * @return the folder of the bundle
     * @throws BundleException it does not exist, or it is damaged
     * @throws StorageException current.json cannot be written
     */
    public static File rollback(File folder) throws PocketRecException {
        if (!Current.isThere(folder)) {
            throw new BundleException(
                    "no bundle was pulled into " + folder + ": name the folder of a pull");
        }
        try (FileLock lock = Versions.locked(folder)) {
            Current current = Current.read(folder);
            if (current == null || current.previous.isEmpty()) {
                throw new BundleException(
                        folder + " holds no version before the one in use: fetch another release");
            }
            Bundle bundle = Bundle.open(Versions.folder(folder, current.previous));
            Current swapped = current.copy();
            swapped.current = current.previous;
            swapped.previous = current.current;
            swapped.etag = "";
            boolean back = current.refused.equals(current.previous);
            swapped.refused = back ? "" : current.current;
            swapped.write(folder);
            return bundle.folder;
        }
    }

    private static Pin held(File folder, Current known, String key) throws BundleException {
        try {
            return Pin.read(folder, known);
        } catch (BundleException error) {
            if (key == null) {
                throw error;
            }
            return Pin.EMPTY.carried(known == null ? new Current() : known);
        }
    }

    /** What was known and what is asked for now, together. */
    private static Current settled(Current known, String given, PullOptions options)
            throws ConfigException {
        Current wanted = known.copy();
        Set<String> users = new LinkedHashSet<>(known.users);
        users.addAll(options.users());
        wanted.users.clear();
        wanted.users.addAll(users);
        String url = given.trim().isEmpty() ? known.url : given.trim();
        if (url.isEmpty()) {
            throw new ConfigException(
                    "nothing was pulled into this folder before: name the address");
        }
        Address address = Address.of(url);
        if (address == null || url.contains("?") || url.contains("#")) {
            throw new ConfigException(
                    Address.shown(url)
                            + " is not an address: name one such as https://example.org/bundle");
        }
        Address before = Address.of(known.url);
        if (before == null || !bare(address.plain()).equals(bare(before.plain()))) {
            wanted.etag = ""; // a number of another address means nothing, where no key is pinned
            wanted.serial = 0;
        }
        if (!bare(url).equals(bare(known.url))) {
            wanted.url = url;
        }
        return wanted;
    }

    private static String bare(String url) {
        return url.replaceAll("/+$", "");
    }
}
