/*
 * The version 2 event: what somebody did in a product, with the circumstances that analysts usually ask for.
 *
 * Rules for changing this file, which keep every old event readable and every old receiver working:
 *
 *   - An id, once published, keeps its field, its type and its unit for ever. Ids of removed fields are never used
 *     again; list them under "retired" below.
 *   - New fields are optional. Nothing becomes required later, and nothing required becomes optional.
 *   - Receivers skip ids they do not know, so senders may be newer than receivers.
 *   - After a change run `python -m eventpub.schemas.generate` and commit what it writes.
 *
 * Ids of Event:
 *
 *       1 -  19   what happened, when, and which event this is
 *      20 -  49   the circumstances: one struct each
 *      50 -  99   data of a single kind of event
 *     100 - 199   kept free for whatever stands between sender and store (sidecar, collector, enrichment)
 *     200 - 999   yours: fields and structs that you add in your own copy; this file will never use them
 *     retired     none
 *
 * Ids of the other structs: 1 - 99 are this file's, 200 - 999 yours.
 *
 * Conventions: a timestamp is an i64 of milliseconds since 1970-01-01T00:00:00Z. Text is UTF-8. A value that is
 * not known is left unset, never filled with "" or 0. There are no enums: a receiver would have to know a new
 * member before it could read it. "Set by" says who knows the value best.
 */
namespace py eventpub.schemas.event

/** Milliseconds since 1970-01-01T00:00:00Z. Example: 1700000000000 is 2023-11-14T22:13:20Z. */
typedef i64 Timestamp

/** Who did it. */
struct User {
  /** Stable id of the account; no address, no name. Example: "u_8c1f". Set by the application after login. */
  1: optional string id

  /** Whether the account was logged in when it happened. Set by the application. */
  2: optional bool is_logged_in

  /** Id of a visitor without an account, kept in a cookie or on the device. Example: "v_51d0". Set by the client. */
  3: optional string visitor_id

  /** When the account was made. Set by the application. */
  4: optional Timestamp created_timestamp

  /** What the account may do. Example: ["moderator", "employee"]. Set by the application. */
  5: optional list<string> roles

  /** What the account pays for. Example: "team". Set by the application. */
  6: optional string plan

  /** The organisation the account acts for. Example: "org_17". Set by the application. */
  7: optional string organization_id
}

/** The HTTP request, or the remote call, in which it happened. */
struct Request {
  /** Id of the request as logs and traces have it. Example: "7f3a2b". Set by the server that is first reached. */
  1: optional string id

  /** HTTP method in capitals. Example: "POST". Set by the server. */
  2: optional string method

  /** Host as the client asked for it. Example: "shop.example.com". Set by the server. */
  3: optional string host

  /** Path without the query, which may hold secrets. Example: "/cart/checkout". Set by the server. */
  4: optional string path

  /** The route that matched, which has fewer values than paths. Example: "/orders/{id}". Set by the framework. */
  5: optional string route

  /** HTTP status of the answer. Example: 201. Set by the server. */
  6: optional i32 status_code

  /** Milliseconds from the first byte read to the last byte written. Example: 12.5. Set by the server. */
  7: optional double duration_ms

  /** The User-Agent header as it came. Set by the server. */
  8: optional string user_agent

  /** Address of the client, IPv4 or IPv6, as the edge saw it. Example: "203.0.113.9". Set by the server. */
  9: optional string client_address

  /** Languages the client prefers, best first, as BCP 47 tags. Example: ["de-AT", "en"]. Set by the server. */
  10: optional list<string> languages

  /** Id of the distributed trace. Example: "4bf92f3577b34da6a3ce929d0e0e4736". Set by the tracing library. */
  11: optional string trace_id
}

/** The device somebody had in hand. */
struct Device {
  /** Id of this installation, new after a reset. Example: "d_90aa". Set by the client. */
  1: optional string id

  /** One of "phone", "tablet", "desktop", "tv", "watch", "console", "bot". Set by the client or the server. */
  2: optional string type

  /** Who built it. Example: "Fairphone". Set by the client. */
  3: optional string manufacturer

  /** What they call it. Example: "FP5". Set by the client. */
  4: optional string model

  /** Operating system. Example: "android". Set by the client. */
  5: optional string os_name

  /** Its version. Example: "14". Set by the client. */
  6: optional string os_version

  /** Browser, if there is one. Example: "firefox". Set from the User-Agent. */
  7: optional string browser_name

  /** Its version. Example: "131.0". Set from the User-Agent. */
  8: optional string browser_version

  /** Width of the screen in CSS pixels. Example: 412. Set by the client. */
  9: optional i32 screen_width_px

  /** Height of the screen in CSS pixels. Example: 915. Set by the client. */
  10: optional i32 screen_height_px

  /** Time zone of the device by its IANA name. Example: "Europe/Vienna". Set by the client. */
  11: optional string timezone
}

/** The program that sent the event. */
struct App {
  /** Name of the program or service. Example: "shop-web". Set by the application, once for all its events. */
  1: optional string name

  /** Version people know it by. Example: "4.2.1". Set by the build. */
  2: optional string version

  /** Commit or number of the build. Example: "9f1c2e7". Set by the build. */
  3: optional string build

  /** Where it runs. Example: "production". Set by the deployment. */
  4: optional string environment

  /** One of "web", "ios", "android", "server", "cli". Set by the application. */
  5: optional string platform

  /** Language of its interface as a BCP 47 tag. Example: "de-AT". Set by the application. */
  6: optional string locale

  /** When it was installed. Set by the client. */
  7: optional Timestamp install_timestamp
}

/** A stretch of activity without a long pause. */
struct Session {
  /** Id of the session. Example: "s_2b7e". Set by the client, or the application's session store. */
  1: optional string id

  /** When it began. Set together with its id. */
  2: optional Timestamp started_timestamp

  /** Place of this event in the session, from 1; gaps show lost events. Example: 17. Set together with its id. */
  3: optional i32 event_number

  /** Whether it is the first of this user or visitor. Set together with its id. */
  4: optional bool is_first
}

/** Where somebody came from. */
struct Referrer {
  /** Address of the page before, without its query. Example: "https://news.example.com/item". Set by the client. */
  1: optional string url

  /** Its host, which has fewer values. Example: "news.example.com". Set by the client, or from url. */
  2: optional string domain

  /** Who sent them: utm_source. Example: "newsletter". Set from the landing page's query. */
  3: optional string source

  /** In which way: utm_medium. Example: "email". Set from the landing page's query. */
  4: optional string medium

  /** For which campaign: utm_campaign. Example: "autumn". Set from the landing page's query. */
  5: optional string campaign

  /** By which words: utm_term. Example: "green tea". Set from the landing page's query. */
  6: optional string term

  /** By which of several links: utm_content. Example: "footer". Set from the landing page's query. */
  7: optional string content
}

/** Where it happened, as precisely as is known and allowed. */
struct Geo {
  /** Country by ISO 3166-1, two capitals. Example: "AT". Set by the edge, or from the address. */
  1: optional string country_code

  /** Region by ISO 3166-2. Example: "AT-9". Set by the edge, or from the address. */
  2: optional string region_code

  /** City in its English name. Example: "Vienna". Set by the edge, or from the address. */
  3: optional string city

  /** Postal code. Example: "1010". Set by the application, from what the user said. */
  4: optional string postal_code

  /** Degrees north of the equator, WGS 84, -90 to 90. Example: 48.208. Set by the client, with consent. */
  5: optional double latitude

  /** Degrees east of Greenwich, WGS 84, -180 to 180. Example: 16.373. Set by the client, with consent. */
  6: optional double longitude
}

/** An experiment that was in effect. */
struct Experiment {
  /** Its name. Example: "one_page_checkout". Set by the experiment library. */
  1: optional string name

  /** The variant that was shown. Example: "treatment". Set by the experiment library. */
  2: optional string variant

  /** Version of its configuration, so that results are not mixed. Example: "3". Set by the experiment library. */
  3: optional string version

  /** Whether somebody chose the variant by hand; such events are left out of results. Set by the experiment library. */
  4: optional bool is_override
}

/**
 * Somebody did something: in `source`, `action` was done to `noun`.
 *
 * These three are required: without one of them nobody can say what happened, and no later step can find it out.
 * Everything else can be missing from an event that is still worth keeping, so it is optional. Generated Python
 * classes set what is not given to None, and take `source` to be missing only when the event is serialized.
 */
struct Event {
  /** The part of the product where it happened. Example: "checkout". Set by the application. */
  1: required string source

  /** What was done, a verb. Example: "click". Set by the application. */
  2: required string action

  /** What it was done to, a singular noun. Example: "pay_button". Set by the application. */
  3: required string noun

  /** When it happened, by the clock of the process that saw it. Example: 1700000000000. Set by the application or its client. */
  4: optional Timestamp client_timestamp

  /** Id of this event, the same when it is sent again. Example: str(uuid.uuid4()). Set by the application. */
  5: optional string uuid

  /** Id shared by all events of one cause, across services. Example: "c_77d1". Set by the first service. */
  6: optional string correlation_id

  /** Which one of the nouns: its key. Example: "order_1234". Set by the application. */
  7: optional string noun_id

  /** Who did it. */
  20: optional User user

  /** The request in which it happened. */
  21: optional Request request

  /** The device it was done on. */
  22: optional Device device

  /** The program that sent this event. */
  23: optional App app

  /** The session it belongs to. */
  24: optional Session session

  /** Where the user came from. */
  25: optional Referrer referrer

  /** Where it happened. */
  26: optional Geo geo

  /** All experiments that were in effect. */
  27: optional list<Experiment> experiments

  /** What else can be said in words, by name. Example: {"color": "green"}. Set by the application. */
  50: optional map<string, string> properties

  /** What else can be said in numbers, by name and unit. Example: {"price_eur": 12.5}. Set by the application. */
  51: optional map<string, double> measurements
}
