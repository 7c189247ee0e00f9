// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/** The .zip of a bundle: unpacked beside its place, verified, and then put there in one step. */
final class Archive {
    private static final String AGAIN = ": fetch or export the bundle again";
    private static final int MANIFEST_MOST = 64 << 20; // bytes of a manifest that are read at most

    private Archive() {}

    /**
     * Unpacks what the manifest lists, of the listed sizes; a bundle that was in {@code folder}
     * stays until then.
     */
    static void unpack(File archive, File folder) throws PocketRecException {
        File parent = folder.getAbsoluteFile().getParentFile();
        File next = new File(parent, "." + folder.getName() + ".new");
        File old = new File(parent, "." + folder.getName() + ".old");
        try {
            Storage.delete(next);
            extract(archive, next);
            Bundle.open(next);
            Storage.delete(old);
            if (folder.exists() && !folder.renameTo(old)) {
                throw new IOException("it is in use");
            }
            if (!next.renameTo(folder)) {
                old.renameTo(folder);
                throw new IOException("the unpacked files cannot be moved there");
            }
        } catch (IOException error) {
            throw Storage.failed(folder, error);
        } finally {
            Storage.delete(next);
            if (folder.exists()) {
                Storage.delete(old);
            }
        }
    }

    private static void extract(File archive, File target) throws PocketRecException, IOException {
        try (ZipFile zip = opened(archive)) {
            byte[] content = manifest(archive, zip);
            Manifest manifest = Manifest.parse(content, archive.toString());
            for (Map.Entry<String, Manifest.FileEntry> file : manifest.files.entrySet()) {
                ZipEntry entry = zip.getEntry(file.getKey());
                if (entry == null || entry.getSize() != file.getValue().bytes) {
                    throw broken(archive, file.getKey() + " is not of the size in its manifest");
                }
                write(archive, zip, entry, new File(target, file.getKey()));
            }
            try (FileOutputStream out =
                    new FileOutputStream(new File(target, Contract.MANIFEST_FILE))) {
                out.write(content);
            }
        }
    }

    private static ZipFile opened(File archive) throws BundleException {
        try {
            return new ZipFile(archive);
        } catch (IOException error) {
            throw broken(archive, Storage.reason(error));
        }
    }

    private static byte[] manifest(File archive, ZipFile zip) throws BundleException {
        ZipEntry entry = zip.getEntry(Contract.MANIFEST_FILE);
        if (entry == null || entry.getSize() < 0 || entry.getSize() > MANIFEST_MOST) {
            throw broken(archive, "it has no " + Contract.MANIFEST_FILE);
        }
        byte[] content = new byte[(int) entry.getSize()];
        try (InputStream in = zip.getInputStream(entry)) {
            int filled = 0;
            int length;
            while (filled < content.length
                    && (length = in.read(content, filled, content.length - filled)) > 0) {
                filled += length;
            }
            return content;
        } catch (IOException error) {
            throw broken(archive, Storage.reason(error));
        }
    }

    private static void write(File archive, ZipFile zip, ZipEntry entry, File target)
            throws BundleException, IOException {
        File folder = target.getParentFile();
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new IOException("a folder cannot be made");
        }
        byte[] chunk = new byte[1 << 16];
        long left = entry.getSize();
        try (FileOutputStream out = new FileOutputStream(target);
                InputStream in = zip.getInputStream(entry)) {
            while (left > 0) {
                int length;
                try {
                    length = in.read(chunk, 0, (int) Math.min(left, chunk.length));
                } catch (ZipException | java.io.EOFException error) {
                    throw broken(archive, Storage.reason(error));
                }
                if (length < 0) {
                    throw broken(archive, entry.getName() + " ends too early");
                }
                out.write(chunk, 0, length);
                left -= length;
            }
            out.getFD().sync();
        }
    }

    private static BundleException broken(File archive, String reason) {
        return new BundleException(archive + " is cut short or altered (" + reason + ")" + AGAIN);
    }
}
