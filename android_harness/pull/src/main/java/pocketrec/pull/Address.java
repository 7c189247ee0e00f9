// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import java.io.ByteArrayOutputStream;
import java.net.IDN;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** An HTTP(S) address; name and password in it are sent and never shown. */
final class Address {
    private static final Pattern FORM =
            Pattern.compile("([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", Pattern.DOTALL);
    private static final Pattern LOGIN =
            Pattern.compile("^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", Pattern.DOTALL);

    final String scheme; // in small letters
    final String host; // as it was written, without a port
    final int port; // of the scheme where none was written
    private final String written; // host and port
    private final String rest; // path and so on
    private final String login; // user:password, percent-encoded; null = none

    private Address(Matcher form) {
        scheme = form.group(1).toLowerCase(Locale.ROOT);
        String authority = form.group(2);
        int at = authority.lastIndexOf('@');
        login = at < 0 ? null : authority.substring(0, at);
        written = authority.substring(at + 1);
        rest = form.group(3);
        int end = written.startsWith("[") ? written.indexOf(']') + 1 : written.indexOf(':');
        end = end < 0 ? written.length() : end;
        host = written.substring(0, end);
        String after = written.substring(end);
        int usual = scheme.equals("https") ? 443 : 80;
        boolean numbered = after.matches(":[0-9]{1,5}");
        boolean plain = after.isEmpty() || after.equals(":");
        port = numbered ? Integer.parseInt(after.substring(1)) : plain ? usual : -1;
    }

    /** An address that can be asked for; null where it is none. */
    static Address of(String url) {
        Matcher form = FORM.matcher(url);
        if (!form.matches()) {
            return null;
        }
        Address address = new Address(form);
        boolean good =
                (address.scheme.equals("http") || address.scheme.equals("https"))
                        && !address.host.isEmpty()
                        && address.port > 0
                        && address.port < 65536
                        && goodHost(address.host);
        return good ? address : null;
    }

    private static boolean goodHost(String host) {
        if (host.startsWith("[")) {
            return host.matches("\\[[0-9A-Fa-f:.]+(%[^\\]]*)?\\]");
        }
        if (host.contains("..") || host.startsWith(".")) {
            return false;
        }
        for (int place = 0; place < host.length(); place++) {
            if (host.charAt(place) <= ' ' || "<>\\^`{|}\"[]".indexOf(host.charAt(place)) >= 0) {
                return false;
            }
        }
        try {
            return !IDN.toASCII(host).isEmpty();
        } catch (IllegalArgumentException error) {
            return false;
        }
    }

    /** The address without name and password. */
    String plain() {
        return scheme + "://" + written + rest;
    }

    /** What is asked for: the host in the letters that the system of names knows. */
    String asked() {
        boolean bracketed = host.startsWith("[");
        return scheme
                + "://"
                + (bracketed ? host : IDN.toASCII(host))
                + written.substring(host.length())
                + rest;
    }

    /** Value of the header Authorization; "" where there is no login. */
    String authorization() {
        if (login == null) {
            return "";
        }
        int colon = login.indexOf(':');
        String user = colon < 0 ? login : login.substring(0, colon);
        String password = colon < 0 ? "" : login.substring(colon + 1);
        ByteArrayOutputStream told = new ByteArrayOutputStream();
        decode(told, user);
        told.write(':');
        decode(told, password);
        return "Basic " + Base64.getEncoder().encodeToString(told.toByteArray());
    }

    /**
     * Whether another address has the same scheme, host and port: who is trusted with a password.
     */
    boolean sameOrigin(Address other) {
        return scheme.equals(other.scheme)
                && host.equalsIgnoreCase(other.host)
                && port == other.port;
    }

    /** What a message may show of an address, or of what should have been one. */
    static String shown(String url) {
        return LOGIN.matcher(url).replaceFirst("$1").replaceAll("\\s+", " ");
    }

    private static void decode(ByteArrayOutputStream out, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        for (int place = 0; place < bytes.length; place++) {
            int high = place + 2 < bytes.length ? Character.digit(bytes[place + 1], 16) : -1;
            int low = place + 2 < bytes.length ? Character.digit(bytes[place + 2], 16) : -1;
            if (bytes[place] == '%' && high >= 0 && low >= 0) {
                out.write(high << 4 | low);
                place += 2;
            } else {
                out.write(bytes[place]);
            }
        }
    }
}
